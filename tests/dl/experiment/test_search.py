"""`gearshift search`: the same scores as scikit-learn's own search, files, and mistakes that are named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import gearshift as gs
from gearshift.__main__ import main
from gearshift.dl.estimators.descent import TrainingInterrupted
from gearshift.dl.experiment.config import parse_as, read_as
from gearshift.dl.experiment.search import prepare
from gearshift.dl.experiment.sections import SearchConfiguration

GRID = """
[estimator]
max_iter = 3
[search]
folds = 2
[search.parameters]
hidden_layer_sizes = [[4], [8, 4]]
alpha = [1e-4, 1.0]
"""


def call(*arguments: object, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    return path


def test_a_grid_is_searched_as_scikit_learn_does(grid: Path) -> None:
    search = prepare(read_as(SearchConfiguration, grid), "numba")
    told: list[tuple[int, float]] = []
    result = search.run(lambda done, best: told.append((done, best)))
    pipe = Pipeline([("scale", StandardScaler()), ("network", gs.MLPClassifier(max_iter=3, random_state=0))])
    spaces = {"network__alpha": [1e-4, 1.0], "network__hidden_layer_sizes": [[4], [8, 4]]}
    theirs = GridSearchCV(pipe, spaces, cv=2).fit(*search.data)
    assert result.rows[0].mean == theirs.best_score_ == told[-1][1]
    assert {f"network__{name}": value for name, value in result.best.items()} == theirs.best_params_
    assert [done for done, _ in told] == [1, 2, 3, 4]
    assert search.test is not None
    assert result.test == theirs.score(*search.test)


def test_the_command_writes_a_table_a_picture_and_a_file(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    out, plot = grid.with_name("scores.json"), grid.with_name("scores.png")
    call("search", grid, "--out", out, "--plot", plot, "--backend", "numpy", "--set", "search.jobs=2")
    shown = capsys.readouterr()
    assert "candidate 4/4" in shown.err
    assert "accuracy" in shown.out
    written = json.loads(out.read_text())
    assert len(written["rows"]) == 4
    assert plot.read_bytes()[:4] == b"\x89PNG"
    call("search", grid, "--json", "--quiet", "--backend", "numpy")
    best = json.loads(capsys.readouterr().out)
    assert (best["best"], best["score"]) == (written["rows"][0]["parameters"], written["rows"][0]["mean"])


def test_a_random_search_draws_from_ranges(tmp_path: Path) -> None:
    """The same candidates again from the same seed; values from a .csv file are predicted by a regressor."""
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 3))
    np.savetxt(
        tmp_path / "values.csv", np.column_stack([x, x.sum(axis=1)]), delimiter=",", header="a,b,c,y", comments=""
    )
    table: dict[str, Any] = {
        "data": {"source": str(tmp_path / "values.csv")},
        "search": {
            "method": "random",
            "candidates": 5,
            "parameters": {
                "learning_rate_init": {"low": 1e-3, "high": 1e-1, "log": True},
                "hidden_layer_sizes": {"low": 2.0, "high": 4.0, "whole": True},
                "momentum": {"low": 0.5, "high": 0.9},
            },
        },
    }
    search, again = (prepare(parse_as(SearchConfiguration, table), "numpy") for _ in range(2))
    assert isinstance(search.estimator, gs.MLPRegressor)
    assert search.candidates == again.candidates
    assert len(search.candidates) == 5
    for candidate in search.candidates:
        assert 1e-3 <= candidate["learning_rate_init"] <= 1e-1
        assert candidate["hidden_layer_sizes"] in (2, 3, 4)
        assert type(candidate["hidden_layer_sizes"]) is int
    assert math.isfinite(search.run(lambda done, best: None).rows[0].mean)


def test_an_interrupt_ends_the_search(grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C within a fit ends that fit alone, with a warning; in a search, it ends the search."""
    import warnings

    from gearshift.dl.estimators.descent import Descent

    def epoch(self: Descent, order: np.ndarray) -> float:
        self.stop("interrupt")
        return 0.0

    monkeypatch.setattr(Descent, "epoch", epoch)
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrainingInterrupted)
        with pytest.raises(TrainingInterrupted):
            gs.MLPClassifier().fit(np.eye(4), [0, 1, 0, 1])
    call("search", grid, "--quiet", "--backend", "numpy", code=130)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": {}}, "search.parameters"),
        (
            {"parameters": {"alpa": [1]}},
            "search.parameters.alpa is not a parameter of MLPClassifier; did you mean 'alpha'",
        ),
        ({"parameters": {"alpha": []}}, "empty list"),
        ({"parameters": {"alpha": {"low": 1.0, "high": 2.0}}}, "a grid needs a list"),
        ({"parameters": {"alpha": {"low": 2.0, "high": 1.0}}, "method": "random"}, "expected low below high"),
        ({"parameters": {"alpha": {"low": 0.0, "high": 1.0, "log": True}}, "method": "random"}, "and above 0"),
        ({"parameters": {"alpha": {"low": 0.2, "high": 0.8, "whole": True}}, "method": "random"}, "no integer"),
        ({"scoring": "acuracy"}, "did you mean 'accuracy'"),
        ({"folds": 1}, "search.folds is 1"),
        ({"fold": 3}, "search.fold is not a known key; did you mean 'folds'"),
    ],
    ids=str,
)
def test_a_mistake_is_named(change: dict[str, Any], message: str) -> None:
    table = {"search": {"parameters": {"alpha": [1.0]}, **change}}
    with pytest.raises(gs.ConfigurationError, match=message):
        prepare(parse_as(SearchConfiguration, table))


def test_a_mistake_in_a_value_ends_in_one_line(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("search", grid, "--quiet", "--set", "estimator.solver=newton", code=2)
    assert "solver is 'newton'; expected one of" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("setting", ["search.folds=200", "search.scoring=roc_auc"])
def test_what_scikit_learn_refuses_ends_in_one_line(
    setting: str, grid: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call("search", grid, "--quiet", "--backend", "numpy", "--set", setting, code=2)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: search with ") and "folds, scoring" in last


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_count_by_their_weights(tmp_path: Path) -> None:
    """As in scikit-learn's own search, to which the same weights are given."""
    x, y = load_digits(return_X_y=True)
    x, y, weight = x[:300] / 16, y[:300], np.where(np.arange(300) % 3, 1.0, 20.0)
    np.savez(tmp_path / "weighted.npz", x=x, y=y, weight=weight)
    table = {
        "backend": {"name": "numpy"},
        "data": {"source": str(tmp_path / "weighted.npz"), "test": 0.0, "standardize": False},
        "estimator": {"hidden_layer_sizes": [8], "max_iter": 5},
        "search": {"parameters": {"alpha": [1e-4]}, "folds": 3},
    }
    rows = prepare(parse_as(SearchConfiguration, table)).run(lambda done, best: None).rows
    network = gs.MLPClassifier([8], max_iter=5, random_state=0, backend="numpy")
    theirs = GridSearchCV(Pipeline([("network", network)]), {"network__alpha": [1e-4]}, cv=3)
    assert rows[0].mean == theirs.fit(x, y, network__sample_weight=weight).cv_results_["mean_test_score"][0]
    assert rows[0].mean != theirs.fit(x, y).cv_results_["mean_test_score"][0]
