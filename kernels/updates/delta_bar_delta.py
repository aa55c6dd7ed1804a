"""Delta-bar-delta (Jacobs 1988): a rate ε for each weight, which grows while the gradient keeps its sign.

Where δ̄ g > 0, ε ← ε + κ; where δ̄ g < 0, ε ← (1 − φ) ε; then δ̄ ← (1 − θ) g + θ δ̄ and p ← p − ε g, with g the
gradient plus decay · p. A schedule's factor multiplies the step, not the stored rates.
"""

from __future__ import annotations

from typing import Any

from ..counters import FAILED, ROW
from ..launch import over_arena
from ..operation import Cuda, Launch
from .update import constants, ranges, update_operation

COLUMNS = ("factor", "kappa", "1 - phi", "theta", "1 - theta")


def reference(
    xp: Any,
    p: Any,
    g: Any,
    rates: Any,
    trend: Any,
    bounds: Any,
    factors: Any,
    table: Any,
    counters: Any,
    clip: Any,
) -> None:
    """Updates p and the rates and the gradient's trend (n,) in place."""
    factor, kappa, shrink, theta, gain = constants(table, counters)
    for part, rate, decay in ranges(bounds, factors, counters):
        d = g[part] * clip[0] + decay * p[part]
        sign = trend[part] * d
        rates[part] = xp.where(sign > 0, rates[part] + kappa, xp.where(sign < 0, shrink * rates[part], rates[part]))
        trend[part] = gain * d + theta * trend[part]
        p[part] = p[part] - (factor * rate) * rates[part] * d


def loop(
    start: int,
    stop: int,
    p: Any,
    g: Any,
    rates: Any,
    trend: Any,
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
    factor, kappa, shrink, theta, gain = row[0], row[1], row[2], row[3], row[4]
    scale = clip[0]
    for r in range(bounds.shape[0]):
        low, high = max(start, bounds[r, 0]), min(stop, bounds[r, 1])
        if high <= low:
            continue
        rate, decay = factor * factors[r, 0], factors[r, 1]
        ps, gs = p[low:high], g[low:high]
        es, ts = rates[low:high], trend[low:high]
        for i in range(high - low):
            d = gs[i] * scale + decay * ps[i]
            t, e = ts[i], es[i]
            sign = t * d
            if sign > 0:
                e = e + kappa
            elif sign < 0:
                e = shrink * e
            es[i] = e
            ts[i] = gain * d + theta * t
            ps[i] -= rate * e * d


def launch(*arrays: Any) -> Launch:
    """One thread per element of the arena."""
    return over_arena(arrays)


DELTA_BAR_DELTA = update_operation(
    "delta_bar_delta", reference, loop, 10, cuda=Cuda("delta_bar_delta.cu", "delta_bar_delta", launch)
)
