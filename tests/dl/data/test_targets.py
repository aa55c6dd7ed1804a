"""Targets of every kind: integers are numbers where numbers are learned, and labels where classes are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import DataError, ShapeError

BACKENDS = ("numpy", "numba")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4))
DEGREES = np.round(10 * X[:, 0] + 3).astype(int)
SIGNS = np.where(X[:, 0] > 0, 1, -1)


def trainer(loss: gs.Loss, outputs: int = 1, backend: str = "numpy", dtype: str = "float32", **options: Any) -> Any:
    model = gs.Sequential(gs.Linear(4, outputs), dtype=dtype)
    return gs.Trainer(model, loss, gs.Adam(lr=0.1), backend=backend, **options)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["int8", "int64", ">i4", "uint8", ">u8", "bool", "float16"])
def test_integers_are_numbers_to_mse(dtype: str, backend: str) -> None:
    y = (DEGREES if "u" not in dtype and dtype != "bool" else abs(DEGREES)).astype(dtype)
    assert (y < 0).any() == ("u" not in dtype and dtype != "bool")
    ends = []
    for targets in (y, y.astype(float), y[:, None]):
        run = trainer(gs.MSELoss(), backend=backend)
        ends.append(run.fit(X, targets, epochs=2, verbose=False)["loss"])
    assert ends[0] == ends[1] == ends[2]


def test_integers_beyond_int64_are_numbers_too() -> None:
    y = np.array([2**63, 2**63 + 2**40, 5], ">u8")
    assert gs.Dataset(X[:3], y).y.tolist() == [float(number) for number in y.tolist()]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.eye(3)[DEGREES % 3], r"for one-hot rows use y\.argmax\(axis=1\), or SoftCrossEntropyLoss"),
        (np.eye(3, dtype=int)[DEGREES % 3], r"for one-hot rows use y\.argmax\(axis=1\), or SoftCrossEntropyLoss"),
        ((DEGREES % 3).astype(float), r"y\.astype\(int\)"),
        ((DEGREES % 3).astype(float)[:, None], r"y\.ravel\(\)\.astype\(int\)"),
        (DEGREES % 3 + 1, r"is 3, expected a label from 0 to 2; numpy\.unique\(y, return_inverse=True\)"),
        (SIGNS, r"is -1, expected a label from 0 to 2"),
        (X[:, 0], "to predict numbers use MSELoss"),
    ],
)
def test_what_is_no_label_is_refused_with_the_way_out(y: np.ndarray, message: str) -> None:
    for loss in (gs.CrossEntropyLoss(), gs.MulticlassHingeLoss()):
        with pytest.raises((DataError, ShapeError), match=message):
            trainer(loss, 3).fit(X, y, verbose=False)


def test_probabilities_too_small_for_a_number_are_0() -> None:
    outputs = np.array([[0.0, 1000.0], [-1000.0, 0.0]], np.float32)
    with np.errstate(all="raise"):
        assert gs.CrossEntropyLoss().probabilities(outputs).tolist() == [[0.0, 1.0], [0.0, 1.0]]
        assert gs.BCEWithLogitsLoss().probabilities(outputs).tolist() == [[0.5, 1.0], [0.0, 0.5]]
