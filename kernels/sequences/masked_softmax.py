"""Attention softmax with a padding mask.

Like softmax.py, over the unmasked columns: p = mask · exp(scale · s) / Σ mask · exp(scale · s). A row without
unmasked columns is 0, and so is its gradient. The backward pass is that of the softmax, since p is 0 at masked
columns.
"""

from __future__ import annotations

import math
from typing import Any

from ...backends.machine import take
from ...backends.reductions import larger, plus
from ..exponentials import exponentiate
from ..launch import over_rows
from ..operation import Cuda, Launch, Operation
from ..single import LEAST
from .softmax import BLOCK, gradient, rows


def reference(xp: Any, s: Any, mask: Any, p: Any, *, scale: float, causal: int) -> None:
    """p (matrices, m, n) from s (matrices, m, n) and mask (sequences, n); all heads of a sequence share its mask."""
    m, n = s.shape[1:]
    if s.size == 0:
        return
    seen = xp.repeat(mask, s.shape[0] // mask.shape[0], axis=0)[:, None, :] > 0
    seen = seen & ((xp.arange(m)[:, None] >= xp.arange(n)[None, :]) | (causal == 0))[None, :, :]
    zero = xp.zeros_like(s)
    top = xp.max(xp.where(seen, s, zero - float("inf")), axis=2)[:, :, None]
    exps = xp.where(seen, xp.exp(xp.where(seen, s - top, zero) * scale), zero)
    total = xp.sum(exps, axis=2)[:, :, None]
    p[...] = exps / xp.where(total > 0, total, xp.ones_like(total))


def loop(start: int, stop: int, s: Any, mask: Any, p: Any, scale: float, causal: int) -> None:
    """`reference` over rows `start` to `stop` of all matrices, in blocks that stay in the fastest cache."""
    real = p.dtype.type
    m, n, factor, zero, low = s.shape[1], s.shape[2], real(scale), real(0), real(-math.inf)
    heads = s.shape[0] // max(mask.shape[0], 1)
    given, shares, some = s.reshape(-1), p.reshape(-1), max(1, BLOCK // max(n, 1))
    for begin in range(start, stop, some):
        end = min(begin + some, stop)
        target = shares[begin * n : end * n]
        take(given[begin * n : end * n], target)
        for row in range(begin, end):
            seen, last = mask[row // m // heads], row % n + 1 if causal else n
            top, out = low, shares[row * n : row * n + n]
            for j in range(n):
                top = larger(top, out[j] if seen[j] > 0 and j < last else low)
            for j in range(n):
                out[j] = (out[j] - top) * factor if seen[j] > 0 and j < last else real(LEAST)
        exponentiate(target)
        for row in range(begin, end):
            seen, last = mask[row // m // heads], row % n + 1 if causal else n
            total, out = zero, shares[row * n : row * n + n]
            for j in range(n):
                total = plus(total, out[j] if seen[j] > 0 and j < last else zero)
            share = real(1) / total if total > 0 else zero
            for j in range(n):
                out[j] = out[j] * share if seen[j] > 0 and j < last else zero


def launch(s: Any, mask: Any, p: Any, *, scale: float, causal: int) -> Launch:
    """One warp per row."""
    heads = s.shape[0] // max(mask.shape[0], 1)
    return over_rows(rows(s), s, mask, p, rows(s), s.shape[2], heads * s.shape[1], scale, causal)


MASKED_SOFTMAX = Operation(
    "masked_softmax",
    reference,
    loop,
    rows,
    cuda=Cuda("masked_softmax.cu", "masked_softmax", launch, types={"VALUE": 0, "REAL": 1}),
    gradient=gradient,
    inplace=((0, 0),),
    flops=lambda s, *_, **__: 5 * s.size,
)
