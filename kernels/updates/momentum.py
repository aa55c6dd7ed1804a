"""Polyak's momentum (1964): v ← α v − lr · g; p ← p + v, with g the gradient plus decay · p.

The velocity includes the learning rate; in `sgd` it is applied afterwards. The two differ if the rate changes.
"""

from __future__ import annotations

from typing import Any

from ..counters import FAILED, ROW
from ..launch import over_arena
from ..operation import Cuda, Launch
from .update import constants, ranges, update_operation

COLUMNS = ("lr", "alpha")


def reference(
    xp: Any,
    p: Any,
    g: Any,
    velocity: Any,
    bounds: Any,
    factors: Any,
    table: Any,
    counters: Any,
    clip: Any,
) -> None:
    """Updates p and the velocity (n,) in place."""
    lr, alpha = constants(table, counters)
    for part, rate, decay in ranges(bounds, factors, counters):
        d = g[part] * clip[0] + decay * p[part]
        velocity[part] = alpha * velocity[part] - (lr * rate) * d
        p[part] = p[part] + velocity[part]


def loop(
    start: int,
    stop: int,
    p: Any,
    g: Any,
    velocity: Any,
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
    lr, alpha = row[0], row[1]
    scale = clip[0]
    for r in range(bounds.shape[0]):
        low, high = max(start, bounds[r, 0]), min(stop, bounds[r, 1])
        if high <= low:
            continue
        rate, decay = lr * factors[r, 0], factors[r, 1]
        ps, gs = p[low:high], g[low:high]
        vs = velocity[low:high]
        for i in range(high - low):
            d = gs[i] * scale + decay * ps[i]
            v = alpha * vs[i] - rate * d
            vs[i] = v
            ps[i] += v


def launch(*arrays: Any) -> Launch:
    """One thread per element of the arena."""
    return over_arena(arrays)


MOMENTUM = update_operation("momentum", reference, loop, 6, cuda=Cuda("momentum.cu", "momentum", launch))
