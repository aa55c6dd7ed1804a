"""Softmax cross-entropy with class distributions as targets, and its gradient, in one pass.

With z the logits of a row and q its target: loss = −Σⱼ qⱼ (zⱼ − log Σ exp z), and
d loss / dz = softmax(z) Σ q − q. The gradient is that of the mean over the batch. The row's maximum is subtracted
first, so exp cannot overflow.
"""

from __future__ import annotations

import math
from typing import Any

from ...backends.reductions import plus
from ..elementary import exp
from ..launch import each_row
from ..operation import Cuda
from .loss import loss_operation


def reference(xp: Any, logits: Any, target: Any, scores: Any, dlogits: Any) -> None:
    """scores (rows, 2) = loss and 1 where both have their maximum at the same class; dlogits (rows, n)."""
    if logits.size == 0:
        return
    shifted = logits - xp.max(logits, axis=1)[:, None]
    exps = xp.exp(shifted)
    totals = xp.sum(exps, axis=1)[:, None]
    whole = xp.sum(target, axis=1)[:, None]
    losses = xp.sum(target * (xp.log(totals) - shifted), axis=1)
    none = xp.zeros_like(losses)
    scores[:, 0] = losses
    scores[:, 1] = xp.where(xp.argmax(logits, axis=1) == xp.argmax(target, axis=1), none + 1, none)
    dlogits[...] = (exps * (whole / totals) - target) * (1 / logits.shape[0])


def loop(start: int, stop: int, logits: Any, target: Any, scores: Any, dlogits: Any) -> None:
    """`reference` over rows `start` to `stop`."""
    real = logits.dtype.type
    count, n = logits.shape
    zero, one, scale = real(0), real(1), real(1) / real(count)
    for row in range(start, stop):
        z, q, d = logits[row], target[row], dlogits[row]
        best = likely = 0
        for j in range(1, n):
            if z[j] > z[best]:
                best = j
            if q[j] > q[likely]:
                likely = j
        top = z[best]
        total = whole = loss = zero
        for j in range(n):
            d[j] = exp(z[j] - top, d)
        for j in range(n):
            total = plus(total, d[j])
            whole = plus(whole, q[j])
        log_total, factor = math.log(total), whole / total
        for j in range(n):
            loss = plus(loss, q[j] * (log_total - (z[j] - top)))
        for j in range(n):
            d[j] = (d[j] * factor - q[j]) * scale
        scores[row, 0] = loss
        scores[row, 1] = one if best == likely else zero


SOFT_CROSS_ENTROPY = loss_operation(
    "soft_cross_entropy", reference, loop, 9, cuda=Cuda("soft_cross_entropy.cu", "soft_cross_entropy", each_row)
)
