"""Nesterov's momentum (Sutskever et al. 2013): the gradient is taken at p + α v.

A step has two operations. First p moves ahead to p + α v, and `origin` stores the old p. After the gradient,
v ← α v − lr · g and p ← origin + v, with g the gradient at p + α v plus decay · (p + α v). A skipped step, or one
with a non-finite loss, restores p from `origin`.
"""

from __future__ import annotations

from typing import Any

from ..counters import FAILED, ROW, SKIP, STEP
from ..launch import over_arena
from ..operation import Cuda
from .update import constants, ranges, update_operation

COLUMNS = ("lr", "alpha")


def ahead_reference(
    xp: Any,
    p: Any,
    g: Any,
    velocity: Any,
    origin: Any,
    bounds: Any,
    factors: Any,
    table: Any,
    counters: Any,
    clip: Any,
) -> None:
    """origin (n,) = p; p = p + α · velocity. The gradient g is not read."""
    _, alpha = constants(table, counters)
    for part, _, _ in ranges(bounds, factors, counters):
        origin[part] = p[part]
        p[part] = p[part] + alpha * velocity[part]


def ahead_loop(
    start: int,
    stop: int,
    p: Any,
    g: Any,
    velocity: Any,
    origin: Any,
    bounds: Any,
    factors: Any,
    table: Any,
    counters: Any,
    clip: Any,
) -> None:
    """`ahead_reference` over elements `start` to `stop`."""
    if counters[FAILED] >= 0:
        return
    alpha = table[counters[ROW], 1]
    for r in range(bounds.shape[0]):
        low, high = max(start, bounds[r, 0]), min(stop, bounds[r, 1])
        if high <= low:
            continue
        ps, vs, os = p[low:high], velocity[low:high], origin[low:high]
        for i in range(high - low):
            os[i] = ps[i]
            ps[i] += alpha * vs[i]


def reference(
    xp: Any,
    p: Any,
    g: Any,
    velocity: Any,
    origin: Any,
    bounds: Any,
    factors: Any,
    table: Any,
    counters: Any,
    clip: Any,
) -> None:
    """Updates p and the velocity (n,) in place, after p was moved ahead."""
    failed = int(counters[FAILED])
    if failed == int(counters[STEP]) or (failed < 0 and int(counters[SKIP])):
        for r in range(bounds.shape[0]):
            part = slice(int(bounds[r, 0]), int(bounds[r, 1]))
            p[part] = origin[part]
    lr, alpha = constants(table, counters)
    for part, rate, decay in ranges(bounds, factors, counters):
        d = g[part] * clip[0] + decay * p[part]
        velocity[part] = alpha * velocity[part] - (lr * rate) * d
        p[part] = origin[part] + velocity[part]


def loop(
    start: int,
    stop: int,
    p: Any,
    g: Any,
    velocity: Any,
    origin: Any,
    bounds: Any,
    factors: Any,
    table: Any,
    counters: Any,
    clip: Any,
) -> None:
    """`reference` over elements `start` to `stop`."""
    failed, back = counters[FAILED] >= 0, counters[FAILED] == counters[STEP]
    if failed and not back:
        return
    row = table[counters[ROW]]
    lr, alpha = row[0], row[1]
    scale = clip[0]
    for r in range(bounds.shape[0]):
        low, high = max(start, bounds[r, 0]), min(stop, bounds[r, 1])
        if high <= low:
            continue
        rate, decay = lr * factors[r, 0], factors[r, 1]
        plain = decay == 0 and scale == 1
        ps, gs, vs, os = p[low:high], g[low:high], velocity[low:high], origin[low:high]
        if back:
            for i in range(high - low):
                ps[i] = os[i]
            continue
        for i in range(high - low):
            d = gs[i] if plain else gs[i] * scale + decay * ps[i]
            v = alpha * vs[i] - rate * d
            vs[i] = v
            ps[i] = os[i] + v


NESTEROV_AHEAD = update_operation(
    "nesterov_ahead", ahead_reference, ahead_loop, 2, cuda=Cuda("nesterov.cu", "nesterov_ahead", over_arena)
)
NESTEROV = update_operation("nesterov", reference, loop, 6, cuda=Cuda("nesterov.cu", "nesterov", over_arena))
