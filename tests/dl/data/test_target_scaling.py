"""Scaled targets: learned as well as unscaled ones, answered in their units, and never mixed with labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error, r2_score

import gearshift as gs
from gearshift.backends.errors import CheckpointError, ConfigurationError, DataError, ShapeError
from gearshift.dl.storage import load_tensors, save_tensors

BACKENDS = ("numpy", "numba")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4))
DEGREES = np.round(10 * X[:, 0] + 3).astype(int)
SIGNS = np.where(X[:, 0] > 0, 1, -1)


def trainer(loss: gs.Loss, outputs: int = 1, backend: str = "numpy", dtype: str = "float32", **options: Any) -> Any:
    model = gs.Sequential(gs.Linear(4, outputs), dtype=dtype)
    return gs.Trainer(model, loss, gs.Adam(lr=0.1), backend=backend, **options)


def prices(offset: float = 3e5, spread: float = 1e5) -> np.ndarray:
    return offset + spread * (X @ [1.0, -0.5, 0.2, 0.0] + 0.1 * np.random.default_rng(1).normal(size=200))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("offset", "spread"), [(3e5, 1e5), (1e9, 3.0), (-1e9, 1e-2), (0.0, 1e-9), (0.0, 1e15)])
def test_a_scaled_target_is_learned_as_well_as_a_line_does(offset: float, spread: float, backend: str) -> None:
    y = prices(offset, spread)
    run = trainer(gs.MSELoss(), backend=backend)
    run.model.target_scaling = gs.TargetScaling.of(y)
    history = run.fit(X, y, validation=(X, y), epochs=40, verbose=False)
    answers, found = run.predict(X), run.evaluate(X, y)
    line = LinearRegression().fit(X, y).score(X, y)
    assert answers.dtype == np.float64 and answers.shape == (200, 1)
    assert found["r2"] == pytest.approx(r2_score(y, answers), abs=1e-6)
    assert found["r2"] > line - 0.005
    # in the target's squared units, everywhere
    assert found["loss"] == pytest.approx(mean_squared_error(y, answers), rel=1e-4)
    assert history[-1]["validation_loss"] == found["loss"]
    assert history[-1]["loss"] == pytest.approx(found["loss"], rel=0.5)
    assert run.evaluate(X, y.copy()) == found


def test_scaling_is_that_of_numpy_in_float64() -> None:
    y = np.column_stack([prices(), prices(1e9, 1e-3), np.full(200, 0.1), X[:, 0]])
    found = gs.TargetScaling.of(y)
    exact = y - y[0]
    assert found.mean == pytest.approx(y[0] + exact.mean(axis=0), rel=1e-15)
    assert found.scale[[0, 1, 3]] == pytest.approx(exact.std(axis=0)[[0, 1, 3]], rel=1e-12)
    assert found.scale[2] == 1  # a constant column
    assert found.restored(found.scaled(y)) == pytest.approx(y, rel=1e-15)
    weight = RANDOM.integers(0, 3, 200)
    repeated = gs.TargetScaling.of(np.repeat(y, weight, axis=0))
    weighted = gs.TargetScaling.of(y, weight)
    assert weighted.mean == pytest.approx(repeated.mean, rel=1e-12)
    assert weighted.scale == pytest.approx(repeated.scale, rel=1e-9)


def test_a_constant_target_is_answered() -> None:
    run = trainer(gs.MSELoss())
    y = np.full(200, 7e8)
    run.model.target_scaling = gs.TargetScaling.of(y)
    run.fit(X, y, epochs=150, verbose=False)
    assert run.predict(X) == pytest.approx(7e8, abs=0.1)


def test_a_memory_mapped_target_is_scaled(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", prices())
    mapped = np.load(tmp_path / "y.npy", mmap_mode="r")
    ends = []
    for y in (mapped, prices()):
        run = trainer(gs.MSELoss())
        run.model.target_scaling = gs.TargetScaling.of(y)
        run.fit(X, y, epochs=2, verbose=False)
        ends.append(run.predict(X))
    assert np.array_equal(*ends)


def test_several_outputs_are_scaled_each_by_itself_and_measured_with_weights() -> None:
    y = np.column_stack([prices(), prices(1e9, 10.0), X[:, 1]])
    weight = RANDOM.integers(1, 4, 200).astype(float)
    run = trainer(gs.MSELoss(), 3)
    run.model.target_scaling = gs.TargetScaling.of(y, weight)
    run.fit((X, y, weight), epochs=60, verbose=False)
    answers, found = run.predict(X), run.evaluate((X, y, weight))
    assert found["r2"] == pytest.approx(r2_score(y, answers, sample_weight=weight), abs=1e-9)
    assert found["r2"] > 0.98
    assert found["mse"] == pytest.approx(mean_squared_error(y, answers, sample_weight=weight), rel=1e-9)
    errors = np.average((y - answers) ** 2, axis=0, weights=weight) / run.model.target_scaling.scale**2
    assert found["loss"] == pytest.approx(errors.mean(), rel=1e-4)


def test_r2_is_scikit_learn_s_without_scaling_too() -> None:
    run = trainer(gs.MSELoss(), dtype="float64")
    run.fit(X, DEGREES, epochs=3, verbose=False)
    assert run.evaluate(X, DEGREES)["r2"] == pytest.approx(r2_score(DEGREES, run.predict(X)), abs=1e-12)
    assert "r2" not in run.evaluate(X[:1], DEGREES[:1])  # of one row it is not defined
    assert run.evaluate(X, np.full(200, 3))["r2"] == 0


def test_gradients_are_those_of_the_scaled_loss() -> None:
    y, model = prices(), gs.Sequential(gs.Linear(4, 1), dtype="float64").init(0)
    scaled = (y - y.mean()) / y.std()
    value, gradients = gs.value_and_grad(model, gs.MSELoss(), X, scaled)
    model.target_scaling = gs.TargetScaling.of(y)
    found, others = gs.value_and_grad(model, gs.MSELoss(), X, y)
    assert found == pytest.approx(value, rel=1e-12)
    assert all(others[name] == pytest.approx(gradients[name], rel=1e-10) for name in gradients)


@pytest.mark.parametrize(
    ("mean", "scale", "message"),
    [
        ([0.0], [0.0], "numbers above 0"),
        ([0.0], [-1.0], "numbers above 0"),
        ([0.0, 1.0], [1.0], "expected 2 numbers above 0"),
        ([np.nan], [1.0], "mean is .*expected finite numbers"),
        ([0.0], [np.inf], "scale is .*expected finite numbers"),
        ([], [], "expected finite numbers"),
        ("a", [1.0], "mean is 'a'"),
    ],
)
def test_scalings_that_are_none(mean: Any, scale: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        gs.TargetScaling(mean, scale)


def test_what_cannot_be_scaled_is_refused() -> None:
    run = trainer(gs.CrossEntropyLoss(), 3)
    run.model.target_scaling = gs.TargetScaling.of(DEGREES)
    with pytest.raises(ConfigurationError, match=r"must not scale the labels or shares of CrossEntropyLoss\(\)"):
        run.fit(X, abs(DEGREES) % 3, verbose=False)
    run = trainer(gs.MSELoss(), 2)
    run.model.target_scaling = gs.TargetScaling.of(DEGREES)
    with pytest.raises(ShapeError, match=r"2 columns, but model\.target_scaling has 1"):
        run.fit(X, X[:, :2], verbose=False)
    with pytest.raises(DataError, match="column 0 has no finite mean and variance"):
        gs.TargetScaling.of(np.array([1e300, -1e300]))
    with pytest.raises(DataError, match="expected numbers"):
        gs.TargetScaling.of(np.array(["a"]))


def test_a_scaling_of_other_columns_is_refused() -> None:
    """As of a loss with several heads, whose targets have other columns than the data."""
    with pytest.raises(gs.DataError, match="y has 1 columns; expected 2, as the loss reads"):
        gs.TargetScaling.of(np.arange(6.0), numbers=[True, False])
    assert gs.TargetScaling.of(np.arange(12.0).reshape(6, 2), numbers=[True, False]).mean.tolist() == [5, 0]


@pytest.mark.parametrize(
    "tensors",
    [
        {"target.scale": None},
        {"target.scale": np.zeros(1)},
        {"target.mean": np.array([np.nan])},
        {"target.mean": np.zeros(2)},
        {"target.mean": np.zeros(1, np.float32)},
        {"target.other": np.zeros(1)},
        {"target.mean": np.zeros((1, 1))},
    ],
)
def test_a_damaged_scaling_is_refused(tensors: dict[str, Any], tmp_path: Path) -> None:
    run = trainer(gs.MSELoss())
    run.model.target_scaling = gs.TargetScaling.of(DEGREES)
    run.fit(X, DEGREES, verbose=False)
    run.save(tmp_path / "run")
    arrays, metadata = load_tensors(tmp_path / "run")
    changed = {name: array for name, array in {**arrays, **tensors}.items() if array is not None}
    save_tensors(tmp_path / "bad", changed, metadata)
    for read in (gs.load, trainer(gs.MSELoss()).load):
        with pytest.raises(CheckpointError):
            read(tmp_path / "bad")
