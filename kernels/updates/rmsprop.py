"""RMSProp (Hinton, lecture 6e, 2012), as torch.optim.RMSprop.

With g the gradient plus decay · p: s ← α s + (1 − α) g²; u = g / (√s + ε), and p ← p − lr u. Centred (Graves 2013),
the square of the running mean of g is subtracted from s; with momentum, v ← momentum · v + u and p ← p − lr v.
"""

from __future__ import annotations

import math
from typing import Any

from ..counters import FAILED, ROW
from ..launch import over_arena
from ..operation import Cuda, Launch
from .update import constants, ranges, update_operation

COLUMNS = ("lr", "alpha", "1 - alpha", "eps", "momentum")


def reference(
    xp: Any,
    p: Any,
    g: Any,
    square: Any,
    mean: Any,
    velocity: Any,
    bounds: Any,
    factors: Any,
    table: Any,
    counters: Any,
    clip: Any,
    *,
    centered: int,
    moving: int,
) -> None:
    """Updates p and the states (n,) in place; `mean` and `velocity` are empty if their flag is 0."""
    lr, alpha, gain, eps, momentum = constants(table, counters)
    for part, rate, decay in ranges(bounds, factors, counters):
        d = g[part] * clip[0] + decay * p[part]
        square[part] = alpha * square[part] + gain * d * d
        spread = square[part]
        if centered:
            mean[part] = alpha * mean[part] + gain * d
            spread = spread - mean[part] * mean[part]
        d = d / (xp.sqrt(spread) + eps)
        if moving:
            velocity[part] = momentum * velocity[part] + d
            d = velocity[part]
        p[part] = p[part] - (lr * rate) * d


def loop(
    start: int,
    stop: int,
    p: Any,
    g: Any,
    square: Any,
    mean: Any,
    velocity: Any,
    bounds: Any,
    factors: Any,
    table: Any,
    counters: Any,
    clip: Any,
    centered: int,
    moving: int,
) -> None:
    """`reference` over elements `start` to `stop`."""
    if counters[FAILED] >= 0:
        return
    row = table[counters[ROW]]
    lr, alpha, gain, eps, momentum = row[0], row[1], row[2], row[3], row[4]
    scale = clip[0]
    for r in range(bounds.shape[0]):
        low, high = max(start, bounds[r, 0]), min(stop, bounds[r, 1])
        if high <= low:
            continue
        rate, decay = lr * factors[r, 0], factors[r, 1]
        plain = decay == 0 and scale == 1
        ps, gs, ss = p[low:high], g[low:high], square[low:high]
        ms, vs = mean[low:high], velocity[low:high]
        if not centered and not moving:  # a separate loop for the common case, so that it vectorises
            for i in range(high - low):
                d = gs[i] if plain else gs[i] * scale + decay * ps[i]
                s = alpha * ss[i] + gain * d * d
                ss[i] = s
                ps[i] -= rate * (d / (math.sqrt(s) + eps))
            continue
        for i in range(high - low):
            d = gs[i] * scale + decay * ps[i]
            s = alpha * ss[i] + gain * d * d
            ss[i] = s
            if centered:
                m = alpha * ms[i] + gain * d
                ms[i] = m
                s = s - m * m
            d = d / (math.sqrt(s) + eps)
            if moving:
                d = momentum * vs[i] + d
                vs[i] = d
            ps[i] -= rate * d


def launch(*arrays: Any, centered: int, moving: int) -> Launch:
    """One thread per element of the arena."""
    return over_arena(*arrays, centered=centered, moving=moving)


RMSPROP = update_operation("rmsprop", reference, loop, 10, cuda=Cuda("rmsprop.cu", "rmsprop", launch))
