"""TF32 reaches the products of a GPU alone."""

from __future__ import annotations

import numpy as np
import pytest

import gearshift as gs


def trainer(backend: str, precision: str | None = None, dtype: str = "float32") -> gs.Trainer:
    model = gs.Sequential(gs.Linear(20, 30), gs.ReLU(), gs.Linear(30, 4), dtype=dtype)
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=0.1), backend=backend, precision=precision)


def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.standard_normal((300, 20)).astype(np.float32), random.integers(0, 4, 300)


def test_tf32_rounds_the_factors_of_products_and_nothing_else() -> None:
    losses = {}
    for backend, precision in ("cupy", "tf32"), ("cupy", "float32"), ("numpy", "float32"):
        run = trainer(backend, precision)
        run.fit(*data(), epochs=3, batch_size=32, verbose=False)
        losses[backend, precision] = [record["loss"] for record in run.history.records]
        assert run.state.arena.values.dtype == np.float32
    exact = np.array(losses["numpy", "float32"])
    off = {key: float(np.max(np.abs(np.array(found) - exact) / exact)) for key, found in losses.items()}
    assert off["cupy", "float32"] < 1e-5 < off["cupy", "tf32"] < 1e-2


def test_evaluation_and_prediction_have_the_precision_of_training() -> None:
    exact, rounded = (trainer("cupy", precision) for precision in ("float32", "tf32"))
    x, y = data()
    difference = np.abs(exact.predict_proba(x) - rounded.predict_proba(x)).max()
    assert 1e-6 < difference < 1e-2
    assert exact.evaluate(x, y)["loss"] != rounded.evaluate(x, y)["loss"]


def test_a_run_of_tf32_stays_where_there_is_tf32() -> None:
    run = trainer("cupy", "tf32")
    with pytest.raises(gs.ConfigurationError, match=r"backend 'numpy' supports .*, but not 'tf32'"):
        run.to("numpy")
    assert run.backend.name == "cupy"
