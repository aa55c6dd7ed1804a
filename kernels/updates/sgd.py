"""Stochastic gradient descent with momentum, as torch.optim.SGD (Sutskever et al. 2013).

With g the gradient plus decay · p: v ← momentum · v + gain · g, and p ← p − lr (ahead · g + carry · v). Plain SGD has
ahead 1 and carry 0, momentum 0 and 1, Nesterov 1 and momentum. gain is 1 − dampening, but 1 at the first step.
"""

from __future__ import annotations

from typing import Any

from ..counters import FAILED, ROW
from ..launch import over_arena
from ..operation import Cuda
from .update import constants, ranges, update_operation

COLUMNS = ("lr", "momentum", "gain", "ahead", "carry")


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
    *,
    moving: int,
) -> None:
    """Updates p and `velocity` (n,) in place; `velocity` is empty if `moving` is 0."""
    lr, momentum, gain, ahead, carry = constants(table, counters)
    for part, rate, decay in ranges(bounds, factors, counters):
        d = g[part] * clip[0] + decay * p[part]
        if moving:
            velocity[part] = momentum * velocity[part] + gain * d
            d = ahead * d + carry * velocity[part]
        p[part] = p[part] - (lr * rate) * d


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
    moving: int,
) -> None:
    """`reference` over elements `start` to `stop`."""
    if counters[FAILED] >= 0:
        return
    row = table[counters[ROW]]
    lr, momentum, gain, ahead, carry = row[0], row[1], row[2], row[3], row[4]
    scale = clip[0]
    for r in range(bounds.shape[0]):
        low, high = max(start, bounds[r, 0]), min(stop, bounds[r, 1])
        if high <= low:
            continue
        rate, decay = lr * factors[r, 0], factors[r, 1]
        plain = decay == 0 and scale == 1
        ps, gs, vs = p[low:high], g[low:high], velocity[low:high]
        if moving:
            for i in range(high - low):
                d = gs[i] if plain else gs[i] * scale + decay * ps[i]
                v = momentum * vs[i] + gain * d
                vs[i] = v
                ps[i] -= rate * (ahead * d + carry * v)
        else:
            for i in range(high - low):
                d = gs[i] if plain else gs[i] * scale + decay * ps[i]
                ps[i] -= rate * d


SGD = update_operation("sgd", reference, loop, 8, cuda=Cuda("sgd.cu", "sgd", over_arena))
