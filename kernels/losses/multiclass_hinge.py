"""The multi-class hinge loss (Crammer and Singer 2001) and its gradient in one pass.

With ŷ the outputs of a row, t its label and j the first of the largest other outputs:
loss = max(0, 1 − (ŷ_t − ŷ_j)); where it is above 0, its derivative is −1 at t and +1 at j. The gradient is that of the
mean over the batch. A label outside 0 to n − 1 has the loss NaN.
"""

from __future__ import annotations

import math
from typing import Any

from ..launch import each_row
from ..operation import Cuda
from .loss import loss_operation


def reference(xp: Any, outputs: Any, labels: Any, scores: Any, doutputs: Any) -> None:
    """scores (rows, 2) = loss and 1 where arg max equals the label; doutputs (rows, n).

    `outputs` (rows, n) is floating, `labels` (rows,) or (rows, 1) holds integers 0 to n − 1.
    """
    count, n = outputs.shape
    if count == 0:
        return
    labels = xp.reshape(labels, (-1,))
    places = xp.arange(n)[None, :]
    hot, zero = labels[:, None] == places, xp.zeros_like(outputs)
    others = xp.where(hot, zero - float("inf"), outputs)
    other = xp.argmax(others, axis=1)[:, None] == places
    margin = 1 - (xp.sum(xp.where(hot, outputs, zero), axis=1) - xp.max(others, axis=1))
    none = xp.zeros_like(margin)
    known = (labels >= 0) & (labels < n)
    scores[:, 0] = xp.where(known, xp.where(margin <= 0, none, margin), none + math.nan)
    scores[:, 1] = xp.where(xp.argmax(outputs, axis=1) == labels, none + 1, none)
    change = xp.where(other, zero + 1, zero) - xp.where(hot, zero + 1, zero)
    doutputs[...] = xp.where(margin[:, None] <= 0, zero, change) * (1 / count)


def loop(start: int, stop: int, outputs: Any, labels: Any, scores: Any, doutputs: Any) -> None:
    """`reference` over rows `start` to `stop`."""
    real = outputs.dtype.type
    count, n = outputs.shape
    zero, one, scale = real(0), real(1), real(1) / real(count)
    targets = labels.reshape(-1)
    for row in range(start, stop):
        z, d = outputs[row], doutputs[row]
        label = int(targets[row])
        known = label >= 0 and label < n
        place = label if known else 0
        best, other = 0, -1
        for j in range(n):
            if z[j] > z[best]:
                best = j
            if j != label and (other < 0 or z[j] > z[other]):
                other = j
            d[j] = zero
        margin = one - (z[place] - z[other]) if other >= 0 else zero
        scores[row, 0] = real(math.nan) if not known else zero if margin <= zero else margin
        scores[row, 1] = one if best == label else zero
        if not margin <= zero:
            d[place] = -scale
            d[other] = scale


MULTICLASS_HINGE = loss_operation(
    "multiclass_hinge",
    reference,
    loop,
    2,
    cuda=Cuda("multiclass_hinge.cu", "multiclass_hinge", each_row, types={"LABEL": 1}),
)
