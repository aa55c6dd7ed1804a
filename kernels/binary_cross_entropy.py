"""Sigmoid and binary cross-entropy from logits, and its gradient, in one pass.

A row's loss is the mean over its n outputs of max(z, 0) − z t + log(1 + e^−|z|), which is −t log σ(z) −
(1 − t) log(1 − σ(z)) without overflow; the gradient is that of the mean over the batch, (σ(z) − t) / (rows · n).
"""

from __future__ import annotations

import math
from typing import Any

from .activation import SIGMOID, activate
from .launch import over_rows
from .operation import Cuda, Launch, Operation, rows


def reference(xp: Any, logits: Any, target: Any, scores: Any, dlogits: Any) -> None:
    """scores (rows, 2) = loss, and 1 where every output is on its target's side of 1/2; dlogits (rows, n).

    `logits` and `target` are (rows, n); targets are from 0 to 1.
    """
    if logits.size == 0:
        return
    zero = xp.zeros_like(logits)
    losses = xp.where(logits > 0, logits, zero) - logits * target + xp.log1p(xp.exp(-xp.abs(logits)))
    scores[:, 0] = xp.mean(losses, axis=1)
    right = xp.where((logits > 0) == (target > 0.5), zero + 1, zero)
    scores[:, 1] = xp.min(right, axis=1)
    dlogits[...] = (activate(xp, logits, SIGMOID) - target) * (1 / logits.size)


def loop(start: int, stop: int, logits: Any, target: Any, scores: Any, dlogits: Any) -> None:
    """`reference` over rows `start` to `stop`."""
    real = logits.dtype.type
    count, n = logits.shape
    zero, one, half, scale = real(0), real(1), real(0.5), real(1) / real(count * n)
    for row in range(start, stop):
        z, t, d = logits[row], target[row], dlogits[row]
        total, right = zero, one
        for j in range(n):
            e = math.exp(-abs(z[j]))
            total += (z[j] if z[j] > zero else zero) - z[j] * t[j] + math.log1p(e)
            sigmoid = (one if z[j] >= zero else e) / (one + e)
            d[j] = (sigmoid - t[j]) * scale
            if (z[j] > zero) != (t[j] > half):
                right = zero
        scores[row, 0] = total / real(n)
        scores[row, 1] = right


def launch(logits: Any, target: Any, scores: Any, dlogits: Any) -> Launch:
    """A warp a row."""
    count, n = logits.shape
    return over_rows(count if n else 0, logits, target, scores, dlogits, count, n)


BINARY_CROSS_ENTROPY = Operation(
    "binary_cross_entropy",
    reference,
    loop,
    rows,
    cuda=Cuda("binary_cross_entropy.cu", "binary_cross_entropy", launch),
    flops=lambda logits, *_: 8 * logits.size,
)
