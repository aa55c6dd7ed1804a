"""Adam (Kingma and Ba 2014, Algorithm 1) and AdamW (Loshchilov and Hutter 2019).

m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²; p ← p − lr m̂ / (√v̂ + ε), with m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ).
Adam adds decay · p to g; AdamW (`decoupled`) first subtracts lr · decay · p from p.
"""

from __future__ import annotations

import math
from typing import Any

from ..counters import FAILED, ROW
from ..launch import over_arena
from ..operation import Cuda
from .update import constants, ranges, update_operation

# step = lr / (1 − β₁ᵗ) and root = 1 / √(1 − β₂ᵗ) are the bias corrections, computed on the host in float64
COLUMNS = ("lr", "step", "root", "beta1", "1 - beta1", "beta2", "1 - beta2", "eps")


def reference(
    xp: Any,
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    bounds: Any,
    factors: Any,
    table: Any,
    counters: Any,
    clip: Any,
    *,
    decoupled: int,
) -> None:
    """Updates p and the moments m and v (n,) in place."""
    lr, step, root, beta1, gain1, beta2, gain2, eps = constants(table, counters)
    for part, rate, decay in ranges(bounds, factors, counters):
        d = g[part] * clip[0]
        if decoupled:
            p[part] = p[part] - (lr * rate * decay) * p[part]
        else:
            d = d + decay * p[part]
        m[part] = beta1 * m[part] + gain1 * d
        v[part] = beta2 * v[part] + gain2 * d * d
        p[part] = p[part] - (step * rate) * (m[part] / (xp.sqrt(v[part]) * root + eps))


def loop(
    start: int,
    stop: int,
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    bounds: Any,
    factors: Any,
    table: Any,
    counters: Any,
    clip: Any,
    decoupled: int,
) -> None:
    """`reference` over elements `start` to `stop`."""
    if counters[FAILED] >= 0:
        return
    row = table[counters[ROW]]
    lr, step, root, eps = row[0], row[1], row[2], row[7]
    beta1, gain1, beta2, gain2 = row[3], row[4], row[5], row[6]
    scale = clip[0]
    for r in range(bounds.shape[0]):
        low, high = max(start, bounds[r, 0]), min(stop, bounds[r, 1])
        if high <= low:
            continue
        rate, decay = step * factors[r, 0], factors[r, 1]
        # the decay applies to the gradient or to the weight, the other factor is 0
        shrink = lr * factors[r, 0] * decay if decoupled else lr - lr
        couple = decay - decay if decoupled else decay
        plain = decay == 0 and scale == 1
        ps, gs, ms, vs = p[low:high], g[low:high], m[low:high], v[low:high]
        for i in range(high - low):
            d = gs[i] if plain else gs[i] * scale + couple * ps[i]
            first = beta1 * ms[i] + gain1 * d
            second = beta2 * vs[i] + gain2 * d * d
            ms[i] = first
            vs[i] = second
            change = rate * (first / (math.sqrt(second) * root + eps))
            ps[i] -= change if plain else shrink * ps[i] + change


ADAM = update_operation("adam", reference, loop, 14, cuda=Cuda("adam.cu", "adam", over_arena))
