"""Learning-rate trials: the table, the choice, the picture and the command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import gearshift as gs
from gearshift.__main__ import main
from gearshift.backends.errors import ConfigurationError
from gearshift.dl.diagnostics.learning_rates import Trial, Trials

X = np.random.default_rng(0).standard_normal((40, 3))
Y = X @ np.array([[1.0], [-2.0], [0.5]])


def trainer(lr: float) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(3, 1, bias=False), dtype="float64")
    return gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=lr), backend="numpy")


def test_trials_of_least_squares_are_gradient_descent() -> None:
    """On the full batch the trajectory is known: the error shrinks by I − lr H in each step."""
    rates = [0.003, 0.1, 3.0]
    trials = gs.learning_rate_trials(trainer, X, Y, rates=rates, iterations=10, batch_size=40)
    start = trainer(0.1).model.ensure_initialized(0).state_dict()["0.weight"]
    hessian, truth = 2 * X.T @ X / 40, np.array([[1.0], [-2.0], [0.5]])
    for rate, row in zip(rates, trials.rows, strict=True):
        w = truth + np.linalg.matrix_power(np.eye(3) - rate * hessian, 10) @ (start - truth)
        assert row.loss == pytest.approx(np.mean((X @ w - Y) ** 2), rel=1e-9)
        assert row.lr == rate
        assert row.steps == tuple(range(1, 11))
    assert trials.best == 0.1
    assert trials.before == pytest.approx(np.mean((X @ start - Y) ** 2))


def test_all_rates_see_the_same_batches_once_an_epoch() -> None:
    trials = gs.learning_rate_trials(trainer, X, Y, rates=[1e-12, 2e-12], iterations=10, batch_size=8)
    one, two = trials.rows
    assert one.losses == pytest.approx(two.losses, rel=1e-9)
    assert np.mean(one.losses) == pytest.approx(trials.before, rel=1e-9)  # ten steps of 8 are each row twice


def test_trials_are_compared_on_a_sample_of_all_rows() -> None:
    """Rows sorted by their targets: the first 2,048 of them are all alike, and the loss over them is 0."""
    x, y = np.ones((6000, 3)), np.repeat([0.0, 2.0], 3000)[:, None]
    trials = gs.learning_rate_trials(zero, x, y, rates=[1e-9], iterations=1)
    assert trials.before == pytest.approx(2, rel=0.1)


def zero(lr: float) -> gs.Trainer:
    found = trainer(lr)
    found.model.load_state_dict({"0.weight": np.zeros((3, 1))})
    return found


def test_a_rate_that_diverges_is_infinite_and_never_chosen(tmp_path: Path) -> None:
    trials = gs.learning_rate_trials(trainer, X, Y, rates=[0.1, 1e200], iterations=10, batch_size=8)
    assert trials.rows[1].loss == math.inf
    assert trials.best == 0.1
    trials.plot(tmp_path / "trials.png")
    assert (tmp_path / "trials.png").stat().st_size > 5000
    assert json.loads(json.dumps(trials.as_json()))["rows"][1]["loss"] is None


def test_no_choice_where_nothing_falls() -> None:
    trials = Trials((Trial(1.0, 3.0, (), ()), Trial(2.0, math.inf, (), ())), 2.0, 10)
    with pytest.raises(ConfigurationError, match="none of 1, 2"):
        _ = trials.best


@pytest.mark.parametrize(("arguments", "message"), [({"rates": [0.0]}, "above 0"), ({"iterations": 0}, "at least 1")])
def test_arguments_are_checked(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        gs.learning_rate_trials(trainer, X, Y, **arguments)  # pyright: ignore[reportArgumentType]


def call(*arguments: object, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


def test_the_command_prints_the_choice_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, picture, table = tmp_path / "c.toml", tmp_path / "lr.png", tmp_path / "lr.json"
    config.write_text('[optimizer]\nname = "SGD"\n[model]\nhidden = [16]\ndropout = 0.0\n')
    options = ("--rates", "1e-5,0.1", "--iterations", "30", "--plot", picture, "--out", table)
    call("lr", config, *options, "--backend", "numba", "--json")
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"optimizer.lr": 0.1}
    assert "2 learning rates, 30 steps each, SGD" in printed.err
    assert f"gearshift train {config} --set optimizer.lr=0.1" in printed.err
    assert picture.stat().st_size > 5000
    assert [row["lr"] for row in json.loads(table.read_text())["rows"]] == [1e-5, 0.1]
    call("lr", config, "--rates", "1e-5,0.1", "--iterations", "30", "--quiet")
    assert "best" in capsys.readouterr().out
    call("lr", config, "--rates", "fast", code=2)
    assert "--rates is 'fast'; expected numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("losses", "further", "said"),
    [
        (
            [3.0, 2.0, 1.0],
            (10.0, 30.0, 100.0),
            "the best learning rate, 10, is the largest that was tried; a larger one",
        ),
        (
            [1.0, 2.0, 3.0],
            (0.01, 0.1 / 3, 0.1),
            "the best learning rate, 0.1, is the smallest that was tried; a smaller",
        ),
        ([2.0, 1.0, math.inf], (), ""),
    ],
)
def test_a_best_rate_at_the_edge_is_remarked(losses: list[float], further: tuple[float, ...], said: str) -> None:
    rows = tuple(Trial(rate, loss, (), ()) for rate, loss in zip((0.1, 1.0, 10.0), losses, strict=True))
    trials = Trials(rows, 5.0, 10)
    assert trials.further == pytest.approx(further) and said in str(trials) and bool(trials.remark) == bool(said)


def test_the_command_says_so_and_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--set", "model.hidden=[8]", "--backend", "numpy", "--quiet", "--iterations", "30"]
    call("lr", *small, "--rates", "1e-3,1e-2")
    said = capsys.readouterr().err
    assert (
        "0.01, is the largest that was tried; a larger one may be better; try: gearshift lr --rates 0.01,0.03,0.1"
        in said
    )
    call("lr", *small, "--rates", "1e-4,1e-2,1e3")
    assert "that was tried" not in capsys.readouterr().err


def test_continue_trains_on_from_the_best_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run begins with the trial's weights, optimizer's states and step; resumed, it goes on to the same bits."""
    small = ["--set", "model.hidden=[8]", "--backend", "numba"]
    trials = [*small, "--set", "train.epochs=2", "--iterations", "30", "--rates", "1e-4,1e-2,1e3", "--continue"]
    call("lr", *trials, "--run", tmp_path / "whole")
    assert "going on from step 30 of the trial with learning rate 0.01" in capsys.readouterr().err
    run = gs.Run(tmp_path / "whole")
    steps = run.history[0]["step"] - 30
    assert run.config["optimizer"]["lr"] == 0.01 and run.history[-1]["step"] == 30 + 2 * steps
    fresh = gs.Run(trained(tmp_path / "fresh", *small, "--set", "optimizer.lr=0.01", "--set", "train.epochs=1"))
    assert run.history[0]["loss"] < fresh.history[0]["loss"], "the trial's steps are not lost"
    call("lr", *[one if one != "train.epochs=2" else "train.epochs=1" for one in trials], "--run", tmp_path / "parts")
    call("train", "--resume", "--run", tmp_path / "parts", "--set", "train.epochs=2", "--quiet", "--backend", "numba")
    ends = [gs.Run(tmp_path / name).history[-1]["loss"] for name in ("whole", "parts")]
    assert ends[0] == ends[1]
    call("lr", *trials, "--run", tmp_path / "whole", code=2)
    assert "holds a run already" in capsys.readouterr().err
    call("lr", *small, "--run", tmp_path / "other", code=2)
    assert "--run is for --continue" in capsys.readouterr().err


def trained(path: Path, *options: str) -> Path:
    call("train", "--run", path, *options)
    return path


def test_a_batch_above_the_data_takes_as_many_steps() -> None:
    trials = gs.learning_rate_trials(trainer, X, Y, rates=[0.1], iterations=20, batch_size=100)
    whole = gs.learning_rate_trials(trainer, X, Y, rates=[0.1], iterations=20, batch_size=40)
    assert trials.rows[0].steps == whole.rows[0].steps
    assert trials.rows[0].losses == whole.rows[0].losses
