"""Losses that are written as formulas, with PyTorch's names and definitions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels.tracing import xp
from .formula import ClassesLoss, ValuesLoss


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
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__(delta=delta)

    @staticmethod
    def formula(output: Any, target: Any, *, delta: float) -> Any:
        d = output - target
        size = xp.abs(d)
        return xp.where(size <= delta, 0.5 * d * d, delta * (size - 0.5 * delta)).mean(axis=-1)


class LogCoshLoss(ValuesLoss):
    """Mean over batch and outputs of log cosh(prediction − target), a smooth absolute value."""

    def __init__(self) -> None:
        super().__init__()

    @staticmethod
    def formula(output: Any, target: Any) -> Any:
        d = output - target
        return (d + xp.softplus(-2.0 * d) - float(np.log(2))).mean(axis=-1)


class KLDivLoss(ValuesLoss):
    """Σⱼ tⱼ (log tⱼ − outputⱼ) for log-probabilities as outputs and a distribution t, averaged over the batch.

    It is PyTorch's ``KLDivLoss(reduction="batchmean")``.
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


class FocalLoss(ClassesLoss):
    """−(1 − p)^gamma log p with p the probability of the label (Lin et al. 2017), averaged over the batch.

    Outputs are logits (rows, classes), targets labels (rows,). With gamma = 0 it is `CrossEntropyLoss`.

    Raises
    ------
    ConfigurationError
        `gamma` is not a number.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__(gamma=gamma)

    @staticmethod
    def formula(output: Any, target: Any, *, gamma: float) -> Any:
        right = xp.arange(output.shape[-1]) == target[:, None]
        log_p = xp.where(right, xp.log_softmax(output), 0.0).sum(axis=-1)
        return -((1.0 - xp.exp(log_p)) ** gamma) * log_p
