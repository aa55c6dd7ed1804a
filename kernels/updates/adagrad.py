"""AdaGrad (Duchi et al. 2011), as torch.optim.Adagrad: r ← r + g²; p ← p − lr · g / (√(start + r) + eps).

g is the gradient plus decay · p. `start`, the initial sum of squares, is a constant, so r starts at 0.
"""

from __future__ import annotations

import math
from typing import Any

from ..counters import FAILED, ROW
from ..launch import over_arena
from ..operation import Cuda, Launch
from .update import constants, ranges, update_operation

COLUMNS = ("lr", "start", "eps")


def reference(
    xp: Any,
    p: Any,
    g: Any,
    square: Any,
    bounds: Any,
    factors: Any,
    table: Any,
    counters: Any,
    clip: Any,
) -> None:
    """Updates p and the sum of squares (n,) in place."""
    lr, begin, eps = constants(table, counters)
    for part, rate, decay in ranges(bounds, factors, counters):
        d = g[part] * clip[0] + decay * p[part]
        square[part] = square[part] + d * d
        p[part] = p[part] - (lr * rate) * (d / (xp.sqrt(begin + square[part]) + eps))


def loop(
    start: int,
    stop: int,
    p: Any,
    g: Any,
    square: Any,
    bounds: Any,
    factors: Any,
    table: Any,
    counters: Any,
    clip: Any,
) -> None:
    """`reference` over elements `start` to `stop`."""
    if counters[FAILED] >= 0:
        return
    row = table[counters[ROW]]
    lr, begin, eps = row[0], row[1], row[2]
    scale = clip[0]
    for r in range(bounds.shape[0]):
        low, high = max(start, bounds[r, 0]), min(stop, bounds[r, 1])
        if high <= low:
            continue
        rate, decay = lr * factors[r, 0], factors[r, 1]
        ps, gs = p[low:high], g[low:high]
        ss = square[low:high]
        for i in range(high - low):
            d = gs[i] * scale + decay * ps[i]
            s = ss[i] + d * d
            ss[i] = s
            ps[i] -= rate * (d / (math.sqrt(begin + s) + eps))


def launch(*arrays: Any) -> Launch:
    """One thread per element of the arena."""
    return over_arena(arrays)


ADAGRAD = update_operation("adagrad", reference, loop, 9, cuda=Cuda("adagrad.cu", "adagrad", launch))
