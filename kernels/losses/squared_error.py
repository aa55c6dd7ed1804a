"""Mean squared error and its gradient in one pass.

A row's loss is the mean over its n outputs of (prediction − target)²; the gradient is that of the mean over
the batch, 2 (prediction − target) / (rows · n).
"""

from __future__ import annotations

from typing import Any

from ...backends.reductions import plus
from ..launch import over_rows
from ..operation import Cuda, Launch
from .loss import loss_operation


def reference(xp: Any, prediction: Any, target: Any, scores: Any, dprediction: Any) -> None:
    """scores (rows, 1) = loss of each row; dprediction (rows, n), for prediction and target (rows, n)."""
    if prediction.size == 0:
        return
    difference = prediction - target
    scores[:, 0] = xp.mean(difference * difference, axis=1)
    dprediction[...] = difference * (2 / prediction.size)


def loop(start: int, stop: int, prediction: Any, target: Any, scores: Any, dprediction: Any) -> None:
    """`reference` over rows `start` to `stop`."""
    real = prediction.dtype.type
    count, n = prediction.shape
    scale = real(2) / real(count * n)
    for row in range(start, stop):
        p, t, d = prediction[row], target[row], dprediction[row]
        total = real(0)
        for j in range(n):
            difference = p[j] - t[j]
            total = plus(total, difference * difference)
        for j in range(n):
            d[j] = (p[j] - t[j]) * scale
        scores[row, 0] = total / real(n)


def launch(prediction: Any, target: Any, scores: Any, dprediction: Any) -> Launch:
    """One warp per row."""
    count, n = prediction.shape
    return over_rows(count if n else 0, prediction, target, scores, dprediction, count, n)


SQUARED_ERROR = loss_operation(
    "squared_error", reference, loop, 4, cuda=Cuda("squared_error.cu", "squared_error", launch)
)
