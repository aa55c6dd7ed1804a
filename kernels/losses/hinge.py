"""The binary hinge loss (Cortes and Vapnik 1995) and its gradient in one pass.

With ŷ an output and y its sign, −1 for targets of 0 and below and +1 above: loss = max(0, 1 − y ŷ), and
d loss / dŷ = −y where 1 − y ŷ > 0, else 0. A row's loss is the mean over its n outputs; the gradient is that of the
mean over the batch.
"""

from __future__ import annotations

from typing import Any

from ..launch import over_rows
from ..operation import Cuda, Launch
from .loss import loss_operation


def reference(xp: Any, outputs: Any, target: Any, scores: Any, doutputs: Any) -> None:
    """scores (rows, 2) = loss, and the share of outputs with the correct sign; doutputs (rows, n)."""
    if outputs.size == 0:
        return
    zero = xp.zeros_like(outputs)
    sign = xp.where(target > 0, zero + 1, zero - 1)
    margin = 1 - sign * outputs
    scores[:, 0] = xp.mean(xp.where(margin <= 0, zero, margin), axis=1)
    scores[:, 1] = xp.mean(xp.where((outputs > 0) == (target > 0), zero + 1, zero), axis=1)
    doutputs[...] = xp.where(margin <= 0, zero, -sign) * (1 / outputs.size)


def loop(start: int, stop: int, outputs: Any, target: Any, scores: Any, doutputs: Any) -> None:
    """`reference` over rows `start` to `stop`."""
    real = outputs.dtype.type
    count, n = outputs.shape
    zero, one, scale = real(0), real(1), real(1) / real(count * n)
    for row in range(start, stop):
        z, t, d = outputs[row], target[row], doutputs[row]
        total = right = zero
        for j in range(n):
            sign = one if t[j] > zero else -one
            margin = one - sign * z[j]
            total += zero if margin <= zero else margin
            right += one if (z[j] > zero) == (t[j] > zero) else zero
            d[j] = zero if margin <= zero else -sign * scale
        scores[row, 0] = total / real(n)
        scores[row, 1] = right / real(n)


def launch(outputs: Any, target: Any, scores: Any, doutputs: Any) -> Launch:
    """One warp per row."""
    count, n = outputs.shape
    return over_rows(count if n else 0, outputs, target, scores, doutputs, count, n)


HINGE = loss_operation("hinge", reference, loop, 5, cuda=Cuda("hinge.cu", "hinge", launch))
