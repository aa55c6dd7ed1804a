"""Binary cross-entropy from logits and its gradient in one pass.

With z a logit and t its target in [0, 1]: loss = log(1 + eᶻ) − t z, written max(z, 0) − t z + log(1 + e^−|z|) so that
nothing overflows; d loss / dz = σ(z) − t. A row's loss is the mean over its n outputs; the gradient is that of the
mean over the batch.
"""

from __future__ import annotations

from typing import Any

from ...backends.reductions import plus
from ..elementary import exp, log1p
from ..launch import each_row
from ..operation import Cuda
from .loss import loss_operation


def reference(xp: Any, logits: Any, target: Any, scores: Any, dlogits: Any) -> None:
    """scores (rows, 2) = loss, and the share of outputs on the same side of 0.5 as the target; dlogits (rows, n)."""
    if logits.size == 0:
        return
    zero, negative = xp.zeros_like(logits), logits < 0
    e = xp.exp(xp.where(negative, logits, -logits))  # e^-|z|, by pieces: |z| itself has no derivative at 0
    losses = xp.where(negative, zero, logits) - logits * target + xp.log1p(e)
    scores[:, 0] = xp.mean(losses, axis=1)
    scores[:, 1] = xp.mean(xp.where((logits > 0) == (target > 0.5), zero + 1, zero), axis=1)
    dlogits[...] = (xp.where(negative, e / (1 + e), 1 / (1 + e)) - target) * (1 / logits.size)


def loop(start: int, stop: int, logits: Any, target: Any, scores: Any, dlogits: Any) -> None:
    """`reference` over rows `start` to `stop`."""
    real = logits.dtype.type
    count, n = logits.shape
    zero, one, half, scale = real(0), real(1), real(0.5), real(1) / real(count * n)
    for row in range(start, stop):
        z, t, d = logits[row], target[row], dlogits[row]
        total, right = zero, 0
        for j in range(n):
            d[j] = exp(-abs(z[j]), d)
        for j in range(n):
            total = plus(total, (zero if z[j] < zero else z[j]) - z[j] * t[j] + log1p(d[j], d))
            right += (z[j] > zero) == (t[j] > half)
        for j in range(n):
            d[j] = ((d[j] if z[j] < zero else one) / (one + d[j]) - t[j]) * scale
        scores[row, 0] = total / real(n)
        scores[row, 1] = real(right) / real(n)


BINARY_CROSS_ENTROPY = loss_operation(
    "binary_cross_entropy", reference, loop, 10, cuda=Cuda("binary_cross_entropy.cu", "binary_cross_entropy", each_row)
)
