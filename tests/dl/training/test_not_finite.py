"""NaN is no answer: models and rows whose outputs are not finite are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import DataError
from gearshift.dl.storage import load_tensors

BACKENDS = ("numpy", "numba")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4))
DEGREES = np.round(10 * X[:, 0] + 3).astype(int)
SIGNS = np.where(X[:, 0] > 0, 1, -1)


def strict(text: str | bytes) -> Any:
    """JSON by the letter."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def broken(name: str = "0.weight", backend: str = "numpy") -> Any:
    model = gs.Sequential(gs.Linear(4, 8), gs.ReLU(), gs.Linear(8, 3)).init(0)
    weights = model.state_dict()
    weights[name] = weights[name].copy()
    weights[name].flat[0] = np.nan
    model.load_state_dict(weights)
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_that_are_nan_have_no_answers(backend: str) -> None:
    y = np.arange(200) % 3
    for name in ("0.weight", "2.bias"):
        run = broken(name, backend)
        for ask in (run.predict, run.predict_proba, lambda x, run=run: run.evaluate(x, y)):
            with pytest.raises(DataError, match=rf"cannot predict: its tensor '{name}' holds NaN"):
                ask(X)
    run = broken(backend=backend)
    with pytest.raises(DataError, match=r"cannot predict: its tensor '0\.weight' holds NaN"):
        run.outputs_of(run.model[0], X)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("value", [1e39, 1e300, -1e300, 3e38])
def test_rows_too_large_have_no_answers(value: float, backend: str) -> None:
    model = gs.Sequential(gs.Linear(4, 8), gs.ReLU(), gs.Linear(8, 3)).init(0)
    run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend=backend)
    x = X.copy()
    x[7], x[9, 1] = [value, -value, value, -value], value
    for ask in (run.predict, run.predict_proba, lambda x: run.evaluate(x, np.zeros(200, int))):
        with pytest.raises(DataError, match=r"x\[7\] has no prediction.*largest value is -?(1e\+39|1e\+300|3e\+38)"):
            ask(x)
    assert run.predict(X).shape == (200,)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.filterwarnings("ignore:invalid")
def test_estimators_refuse_rows_too_large() -> None:
    x = X.copy()
    x[5] = 1e308
    for kind, y in ((gs.MLPClassifier, SIGNS), (gs.MLPRegressor, DEGREES)):
        estimator = kind(hidden_layer_sizes=(5,), max_iter=300, random_state=0, tol=1.0, backend="numpy").fit(X, y)
        with pytest.raises(DataError, match=r"x\[5\] has no prediction"):
            estimator.predict(x)


def test_a_validation_loss_that_is_nan_makes_its_accuracy_nan(tmp_path: Path) -> None:
    for backend in BACKENDS:
        first = gs.Standardize(4).fit(np.zeros(4), np.full(4, 1e-3))
        model = gs.Sequential(first, gs.Linear(4, 3))
        run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=backend)
        x = np.full((5, 4), 3e38, np.float32)  # infinite in the model, and infinite less infinite is NaN
        with np.errstate(all="ignore"):
            run.fit(X.astype(np.float32), np.arange(200) % 3, validation=(x, np.zeros(5, int)), verbose=False)
        assert np.isnan(run.history[-1]["validation_loss"]) and np.isnan(run.history[-1]["validation_accuracy"])
        run.save(tmp_path / "run")
        tensors, metadata = load_tensors(tmp_path / "run")
        assert strict(tensors["history"].tobytes())[0]["validation_loss"] is None
        strict(metadata["gearshift"])
        again = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=backend)
        again.load(tmp_path / "run")
        assert repr(again.history.records) == repr(run.history.records)
