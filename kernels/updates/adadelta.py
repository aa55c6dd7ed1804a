"""AdaDelta (Zeiler 2012), as torch.optim.Adadelta.

With g the gradient plus decay · p: r ← ρ r + (1 − ρ) g²; Δ = √(u + eps) / √(r + eps) · g; u ← ρ u + (1 − ρ) Δ²;
p ← p − lr Δ.
"""

from __future__ import annotations

import math
from typing import Any

from ..counters import FAILED, ROW
from ..launch import over_arena
from ..operation import Cuda, Launch
from .update import constants, ranges, update_operation

COLUMNS = ("lr", "rho", "1 - rho", "eps")


def reference(
    xp: Any,
    p: Any,
    g: Any,
    square: Any,
    moved: Any,
    bounds: Any,
    factors: Any,
    table: Any,
    counters: Any,
    clip: Any,
) -> None:
    """Updates p and the running means of squares (n,) in place."""
    lr, rho, gain, eps = constants(table, counters)
    for part, rate, decay in ranges(bounds, factors, counters):
        d = g[part] * clip[0] + decay * p[part]
        square[part] = rho * square[part] + gain * d * d
        d = xp.sqrt(moved[part] + eps) / xp.sqrt(square[part] + eps) * d
        moved[part] = rho * moved[part] + gain * d * d
        p[part] = p[part] - (lr * rate) * d


def loop(
    start: int,
    stop: int,
    p: Any,
    g: Any,
    square: Any,
    moved: Any,
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
    lr, rho, gain, eps = row[0], row[1], row[2], row[3]
    scale = clip[0]
    for r in range(bounds.shape[0]):
        low, high = max(start, bounds[r, 0]), min(stop, bounds[r, 1])
        if high <= low:
            continue
        rate, decay = lr * factors[r, 0], factors[r, 1]
        ps, gs = p[low:high], g[low:high]
        ss, us = square[low:high], moved[low:high]
        for i in range(high - low):
            d = gs[i] * scale + decay * ps[i]
            s = rho * ss[i] + gain * d * d
            ss[i] = s
            u = us[i]
            change = math.sqrt(u + eps) / math.sqrt(s + eps) * d
            us[i] = rho * u + gain * change * change
            ps[i] -= rate * change


def launch(*arrays: Any) -> Launch:
    """One thread per element of the arena."""
    return over_arena(arrays)


ADADELTA = update_operation("adadelta", reference, loop, 16, cuda=Cuda("adadelta.cu", "adadelta", launch))
