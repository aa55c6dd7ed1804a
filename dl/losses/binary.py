"""Binary losses: one output for each question of yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ...backends.errors import DataError
from ...kernels.losses.binary_cross_entropy import BINARY_CROSS_ENTROPY
from ...kernels.tracing import xp
from ..data import Dataset
from ..data.target_scaling import TargetScaling
from ..graph.graph import Graph, Value
from .formula import FormulaLoss
from .losses import Loss, check_values, entropy, small_is_zero


class BinaryLoss(Loss, named=False):
    """Base class of binary losses: outputs (rows, n); targets are labels 0 and 1 (rows,) or floats (rows, n)."""

    metrics = ("loss", "accuracy")
    targets = "binary"
    _expected: ClassVar[str] = "targets from 0 to 1"

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch(prediction.shape, graph.dtype, "targets")

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        check_values(self, data, prediction)
        wrong = self._wrong(data.y).reshape(len(data), -1).any(axis=1)
        if bool(wrong.any()):
            row = int(wrong.argmax())
            raise DataError(f"y[{row}] is {data.y[row]}; {type(self).__name__} expects {self._expected}")

    def _wrong(self, y: np.ndarray) -> np.ndarray:
        return (y < 0) | (y > 1)

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """1 where the output is above 0, else 0: int64 (rows,) for one output per row, else (rows, n)."""
        answers = (outputs > 0).astype(np.int64)
        return answers[:, 0] if outputs.shape[1] == 1 else answers


class BCEWithLogitsLoss(BinaryLoss):
    """Logistic loss: binary cross-entropy from logits, log(1 + eᶻ) − t z, averaged over batch and outputs.

    Targets t are labels 0 and 1, or floats between 0 and 1.

    Examples
    --------
    >>> trainer = gs.Trainer(gs.Sequential(gs.Linear(64, 1)), gs.BCEWithLogitsLoss(), gs.Adam(lr=1e-2), seed=0)
    >>> history = trainer.fit(x, y > 4, epochs=1, verbose=False)
    >>> trainer.predict_proba(x).shape  # of 0 and of 1
    (1258, 2)
    """

    operation = BINARY_CROSS_ENTROPY
    _expected = "targets from 0 to 1; convert -1 and 1 with (y + 1) / 2, or use HingeLoss"

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        ones = weight @ y.reshape(len(y), -1)
        return float(np.mean([entropy(np.array([1 - one, one])) for one in ones]))

    @small_is_zero
    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """For one output per row, the probabilities of 0 and 1 (rows, 2); otherwise those of 1 (rows, n)."""
        e = np.exp(-np.abs(outputs))
        one = np.where(outputs < 0, e, 1) / (1 + e)
        if outputs.shape[1] > 1:
            return one
        return np.concatenate([np.where(outputs < 0, 1, e) / (1 + e), one], axis=1)  # 1 - one would lose digits


class HingeLoss(FormulaLoss, BinaryLoss):
    """Binary hinge loss: max(0, 1 − y ŷ), averaged over batch and outputs.

    Targets are −1 and +1, or labels 0 and 1, where 0 counts as −1. Predictions use the labels of the training
    targets: −1 and +1, or 0 and 1.

    Examples
    --------
    >>> gs.HingeLoss().formula(np.array([[0.25], [2.0]]), np.array([[1.0], [1.0]]))  # 0 beyond the margin
    array([0.75, 0.  ])
    """

    _expected = "targets that are all -1 or 1, or all 0 or 1"

    def __init__(self) -> None:
        super().__init__()

    @staticmethod
    def formula(output: Any, target: Any) -> Any:
        margin = 1.0 - xp.where(target > 0.0, output, -output)
        return xp.where(margin <= 0.0, 0.0, margin).mean(axis=-1)

    def _wrong(self, y: np.ndarray) -> np.ndarray:
        no = -1 if bool((y < 0).any()) else 0
        return (y != 1) & (y != no)

    def signed(self, y: np.ndarray, before: Sequence[int] = ()) -> tuple[int, ...]:
        if bool((y < 0).any()):
            return tuple(range(y.size // len(y)))
        return () if bool((y == 0).any()) else tuple(before)

    def answers(self, outputs: np.ndarray, scaling: TargetScaling | None = None, signed: Sequence[int] = ()) -> Any:
        answers = self.predict(outputs)
        return 2 * answers - 1 if len(signed) else answers

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        ones = weight @ (y.reshape(len(y), -1) > 0)
        return float((2 * np.minimum(ones, 1 - ones)).mean())
