"""Binary targets of −1 and +1 are answered as such; each head has its own convention and unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mean_squared_error, r2_score

import gearshift as gs
from gearshift.backends.errors import DataError

BACKENDS = ("numpy", "numba")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4))
DEGREES = np.round(10 * X[:, 0] + 3).astype(int)
SIGNS = np.where(X[:, 0] > 0, 1, -1)


def trainer(loss: gs.Loss, outputs: int = 1, backend: str = "numpy", dtype: str = "float32", **options: Any) -> Any:
    model = gs.Sequential(gs.Linear(4, outputs), dtype=dtype)
    return gs.Trainer(model, loss, gs.Adam(lr=0.1), backend=backend, **options)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("y", [SIGNS, SIGNS.astype(float), SIGNS[:, None]], ids=["int", "float", "column"])
def test_a_hinge_of_signs_answers_signs_also_from_a_file(y: np.ndarray, backend: str, tmp_path: Path) -> None:
    run = trainer(gs.HingeLoss(), backend=backend)
    run.fit(X, y, epochs=30, verbose=False)
    answers = run.predict(X)
    assert set(answers.tolist()) == {-1, 1} and answers.dtype == np.int64
    assert np.mean(answers == SIGNS) == pytest.approx(run.evaluate(X, y)["accuracy"])
    run.save(tmp_path / "run.safetensors")
    other = gs.Trainer(gs.load(tmp_path / "run.safetensors"), gs.HingeLoss(), gs.SGD(), backend=backend)
    assert np.array_equal(other.predict(X), answers)
    again = trainer(gs.HingeLoss(), backend=backend)
    again.load(tmp_path / "run.safetensors")
    assert np.array_equal(again.predict(X), answers)


def test_a_hinge_answers_as_it_was_last_trained() -> None:
    run = trainer(gs.HingeLoss())
    run.fit(X, (SIGNS > 0).astype(int), epochs=5, verbose=False)
    assert set(run.predict(X).tolist()) == {0, 1}
    zeros_and_ones = run.evaluate(X, (SIGNS > 0).astype(int))
    assert run.evaluate(X, SIGNS) == zeros_and_ones
    run.fit(X, SIGNS, epochs=1, verbose=False)
    assert set(run.predict(X).tolist()) == {-1, 1}
    run.fit(X[SIGNS > 0], SIGNS[SIGNS > 0], epochs=1, verbose=False)  # which do not tell
    run.model[0].bias.numpy()[...] = 0
    assert run.model.signed_targets == (0,)
    assert run.report(X, SIGNS).rows.tolist() == [float((SIGNS < 0).sum()), float((SIGNS > 0).sum())]


def test_a_hinge_refuses_targets_of_two_conventions() -> None:
    y = SIGNS.copy()
    y[3] = 0
    with pytest.raises(DataError, match=r"y\[3\] is 0; HingeLoss expects targets that are all -1 or 1, or all 0 or 1"):
        trainer(gs.HingeLoss()).fit(X, y, verbose=False)


def test_heads_have_conventions_and_units_of_their_own(tmp_path: Path) -> None:
    loss = gs.JointLoss(t=gs.Head(gs.MSELoss(), 1), s=gs.Head(gs.HingeLoss(), 1), c=gs.Head(gs.CrossEntropyLoss(), 3))
    y = DEGREES * 1000, SIGNS, np.arange(200) % 3
    run = trainer(loss, 5)
    table = gs.Dataset(X, y).y
    run.model.target_scaling = gs.TargetScaling.of(table, numbers=loss.numbers(3))
    run.fit(X, y, epochs=60, verbose=False)
    answers, found = run.predict(X), run.evaluate(X, y)
    assert set(answers["s"].tolist()) == {-1, 1} and set(answers["c"].tolist()) <= {0, 1, 2}
    assert found["t_r2"] == pytest.approx(r2_score(y[0], answers["t"]), abs=1e-9) and found["t_r2"] > 0.99
    assert found["t_mse"] == pytest.approx(mean_squared_error(y[0], answers["t"]), rel=1e-9)
    assert found["t_loss"] == pytest.approx(found["t_mse"] / np.var(y[0]), rel=1e-4)
    run.model.save(tmp_path / "model.safetensors")
    other = gs.Trainer(gs.load(tmp_path / "model.safetensors"), loss, gs.SGD(), backend="numpy")
    assert all(np.array_equal(other.predict(X)[name], answers[name]) for name in answers)
