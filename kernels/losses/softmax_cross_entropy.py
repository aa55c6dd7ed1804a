"""Softmax cross-entropy in one pass: the loss, the accuracy, and the gradient.

With z the logits of a row and t its label: loss = log Σⱼ exp zⱼ − z_t, and d loss / dz = softmax(z) − onehot(t).
The gradient is that of the mean over the batch. The row's maximum is subtracted first, so exp cannot overflow.
A label outside 0 to n − 1 has the loss NaN, which stops the training, and no access outside the arrays.
"""

from __future__ import annotations

import math
from typing import Any

from ..exponentials import exponentials, largest
from ..launch import each_row
from ..operation import Cuda
from .loss import loss_operation


def reference(xp: Any, logits: Any, labels: Any, scores: Any, dlogits: Any) -> None:
    """scores (rows, 2) = loss and 1 where arg max equals the label; dlogits (rows, n).

    `logits` (rows, n) is floating, `labels` (rows,) or (rows, 1) holds integers 0 to n − 1.
    """
    count, n = logits.shape
    if count == 0:
        return
    labels = xp.reshape(labels, (-1,))
    hot = labels[:, None] == xp.arange(n)[None, :]
    zero = xp.zeros_like(logits)
    shifted = logits - xp.max(logits, axis=1)[:, None]
    exps = xp.exp(shifted)
    totals = xp.sum(exps, axis=1)
    losses = xp.log(totals) - xp.sum(xp.where(hot, shifted, zero), axis=1)
    scores[:, 0] = xp.where((labels >= 0) & (labels < n), losses, losses * math.nan)
    scores[:, 1] = xp.where(xp.argmax(logits, axis=1) == labels, totals * 0 + 1, totals * 0)
    dlogits[...] = (exps / totals[:, None] - xp.where(hot, zero + 1, zero)) / count


def loop(start: int, stop: int, logits: Any, labels: Any, scores: Any, dlogits: Any) -> None:
    """`reference` over rows `start` to `stop`."""
    real = logits.dtype.type
    count, n = logits.shape
    scale = real(1) / real(count)
    targets = labels.reshape(-1)
    for row in range(start, stop):
        z, d = logits[row], dlogits[row]
        top, best = largest(z), 0
        while z[best] != top and best < n - 1:
            best += 1
        total = exponentials(z, d, real(1))
        label = targets[row]
        known = label >= 0 and label < n
        place = label if known else 0
        scores[row, 0] = math.log(total) - (z[place] - top) if known else real(math.nan)
        scores[row, 1] = real(1) if best == label else real(0)
        factor = scale / total
        for j in range(n):
            d[j] *= factor
        d[place] -= scale


SOFTMAX_CROSS_ENTROPY = loss_operation(
    "softmax_cross_entropy",
    reference,
    loop,
    6,
    cuda=Cuda("softmax_cross_entropy.cu", "softmax_cross_entropy", each_row, types={"LABEL": 1}),
)
