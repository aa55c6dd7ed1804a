"""Losses of numbers, with PyTorch's names and definitions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels.tracing import xp
from ..data import Dataset
from ..graph.graph import Graph, Value
from .formula import FormulaLoss
from .losses import check_values


class ValuesLoss(FormulaLoss, named=False):
    """Base class of formulas whose targets are values, (rows, n) as the outputs."""

    targets = "values"
    compares = True

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch(prediction.shape, graph.dtype, "targets")

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        check_values(self, data, prediction)

    def measures(self, y: np.ndarray, answers: Any, weight: np.ndarray | None, *, scaled: bool) -> dict[str, float]:
        """R² (for two rows or more), and the mean squared error if ``"loss"`` has other units."""
        from sklearn.metrics import mean_squared_error, r2_score

        y, answers = (np.asarray(part, np.float64).reshape(len(y), -1) for part in (y, answers))
        found = {}
        if scaled and y.shape[1] > 1:
            found["mse"] = float(mean_squared_error(y, answers, sample_weight=weight))
        if len(y) > 1:
            found["r2"] = float(r2_score(y, answers, sample_weight=weight))
        return found


class MSELoss(ValuesLoss):
    """Mean over batch and outputs of (prediction − target)².

    Examples
    --------
    >>> gs.MSELoss().formula(np.array([[1.0, 3.0]]), np.zeros((1, 2)))  # (1² + 3²) / 2
    array([5.])
    """

    squared = True

    def __init__(self) -> None:
        super().__init__()

    @staticmethod
    def formula(output: Any, target: Any) -> Any:
        d = output - target
        return (d * d).mean(axis=-1)

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        rows = y.reshape(len(y), -1).astype(np.float64)
        rows = rows - rows[0]  # an offset costs no digits
        return float((weight @ (rows - weight @ rows) ** 2).mean())


class L1Loss(ValuesLoss):
    """Mean over batch and outputs of |prediction − target|.

    Examples
    --------
    >>> trainer = gs.Trainer(gs.Sequential(gs.Linear(3, 1)), gs.L1Loss(), gs.Adam())
    """

    def __init__(self) -> None:
        super().__init__()

    @staticmethod
    def formula(output: Any, target: Any) -> Any:
        return xp.abs(output - target).mean(axis=-1)

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        rows = y.reshape(len(y), -1).astype(np.float64)
        order = np.argsort(rows, axis=0)
        half = (np.cumsum(weight[order], axis=0) >= 0.5).argmax(axis=0)
        median = np.take_along_axis(rows, np.take_along_axis(order, half[None], axis=0), axis=0)
        return float((weight @ abs(rows - median)).mean())


class HuberLoss(ValuesLoss):
    """d² / 2 for errors d of at most `delta`, delta · (|d| − delta / 2) beyond (Huber 1964), averaged over all outputs.

    Raises
    ------
    ConfigurationError
        `delta` is not a number.

    Examples
    --------
    >>> gs.HuberLoss(delta=1.0).formula(np.array([[0.5], [3.0]]), np.zeros((2, 1)))
    array([0.125, 2.5  ])
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__(delta=delta)

    @staticmethod
    def formula(output: Any, target: Any, *, delta: float) -> Any:
        d = output - target
        size = xp.abs(d)
        return xp.where(size <= delta, 0.5 * d * d, delta * (size - 0.5 * delta)).mean(axis=-1)


class LogCoshLoss(ValuesLoss):
    """Mean over batch and outputs of log cosh(prediction − target), a smooth absolute value.

    Examples
    --------
    >>> gs.LogCoshLoss().formula(np.array([[0.0], [10.0]]), np.zeros((2, 1))).round(3)  # 10 − log 2
    array([0.   , 9.307])
    """

    def __init__(self) -> None:
        super().__init__()

    @staticmethod
    def formula(output: Any, target: Any) -> Any:
        d = output - target
        return (d + xp.softplus(-2.0 * d) - float(np.log(2))).mean(axis=-1)


class KLDivLoss(ValuesLoss):
    """Σⱼ tⱼ (log tⱼ − outputⱼ) for log-probabilities as outputs and a distribution t, averaged over the batch.

    It is PyTorch's ``KLDivLoss(reduction="batchmean")``.

    Examples
    --------
    >>> output, target = np.log([[0.5, 0.5]]), np.array([[0.9, 0.1]])
    >>> gs.KLDivLoss().formula(output, target).round(3)
    array([0.368])
    """

    def __init__(self) -> None:
        super().__init__()

    @staticmethod
    def formula(output: Any, target: Any) -> Any:
        some = target > 0.0
        return xp.where(some, target * (xp.log(xp.where(some, target, 1.0)) - output), 0.0).sum(axis=-1)

    def numbers(self, columns: int) -> np.ndarray:
        """No columns: shares are not scaled."""
        return np.zeros(columns, bool)
