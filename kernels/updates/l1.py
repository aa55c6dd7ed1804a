"""L1 regularisation λ Σ |w| of weights: the subgradient λ sign w (sign 0 = 0) and the proximal step.

The proximal step is soft-thresholding (Daubechies et al. 2004): w ← sign w · max(|w| − t, 0), with t = lr · λ. It sets
small weights to 0, which the subgradient never does. `weights` (ranges,) is 1 for ranges of weights, 0 for others;
`bounds`, `factors` and `counters` are those of update.py.
"""

from __future__ import annotations

from typing import Any

from ..counters import FAILED, ROW, SKIP
from ..launch import over_elements
from ..operation import Cuda, Launch, Operation, elements


def subgradient_reference(xp: Any, p: Any, g: Any, bounds: Any, weights: Any, *, strength: float) -> None:
    """Adds strength · sign p to g where p is a weight; p and g (n,)."""
    for r in range(bounds.shape[0]):
        part = slice(int(bounds[r, 0]), int(bounds[r, 1]))
        g[part] = g[part] + (strength * float(weights[r])) * xp.sign(p[part])


def subgradient_loop(start: int, stop: int, p: Any, g: Any, bounds: Any, weights: Any, strength: float) -> None:
    """`subgradient_reference` over elements `start` to `stop`."""
    zero = p.dtype.type(0)
    for r in range(bounds.shape[0]):
        low, high = max(start, bounds[r, 0]), min(stop, bounds[r, 1])
        if high <= low:
            continue
        size = p.dtype.type(strength) * weights[r]
        ps, gs = p[low:high], g[low:high]
        for i in range(high - low):
            v = ps[i]
            gs[i] += size if v > zero else (-size if v < zero else zero)


def scaled_reference(xp: Any, p: Any, g: Any, bounds: Any, weights: Any, scale: Any, *, strength: float) -> None:
    """`subgradient_reference` for gradients times scale[0]."""
    subgradient_reference(xp, p, g, bounds, weights, strength=strength * float(scale[0]))


def threshold_reference(
    xp: Any, p: Any, bounds: Any, factors: Any, weights: Any, rates: Any, counters: Any, *, strength: float
) -> None:
    """Soft-thresholds the weights among p (n,) by strength times the rate of this step.

    `rates` (steps,) holds the learning rate of each row of the schedule table. Does nothing if updates are off.
    """
    if int(counters[FAILED]) >= 0 or int(counters[SKIP]):
        return
    rate = float(rates[int(counters[ROW])])
    for r in range(bounds.shape[0]):
        part = slice(int(bounds[r, 0]), int(bounds[r, 1]))
        size = xp.abs(p[part]) - strength * rate * float(factors[r, 0]) * float(weights[r])
        p[part] = xp.sign(p[part]) * xp.where(size < 0, xp.zeros_like(size), size)


def threshold_loop(
    start: int,
    stop: int,
    p: Any,
    bounds: Any,
    factors: Any,
    weights: Any,
    rates: Any,
    counters: Any,
    strength: float,
) -> None:
    """`threshold_reference` over elements `start` to `stop`."""
    if counters[FAILED] >= 0 or counters[SKIP]:
        return
    zero, rate = p.dtype.type(0), p.dtype.type(strength) * rates[counters[ROW]]
    for r in range(bounds.shape[0]):
        low, high = max(start, bounds[r, 0]), min(stop, bounds[r, 1])
        if high <= low:
            continue
        bound = rate * factors[r, 0] * weights[r]
        ps = p[low:high]
        for i in range(high - low):
            v = ps[i]
            ps[i] = v - bound if v > bound else (v + bound if v < -bound else v * zero)


def subgradient_launch(p: Any, g: Any, bounds: Any, *others: Any, strength: float) -> Launch:
    """One thread per group of elements."""
    return over_elements(p.size, p, g, bounds, *others, bounds.shape[0], float(strength))


def threshold_launch(
    p: Any, bounds: Any, factors: Any, weights: Any, rates: Any, counters: Any, *, strength: float
) -> Launch:
    """One thread per group of elements."""
    return over_elements(p.size, p, bounds, factors, weights, rates, counters, bounds.shape[0], float(strength))


L1_SUBGRADIENT = Operation(
    "l1_subgradient",
    subgradient_reference,
    subgradient_loop,
    elements,
    cuda=Cuda("l1.cu", "l1_subgradient", subgradient_launch),
    flops=lambda p, *_, **__: 2 * p.size,
    traffic=lambda p, g, *_: (p.nbytes + g.nbytes, g.nbytes),
)
L1_SCALED = Operation(
    "l1_scaled",
    scaled_reference,
    cuda=Cuda("l1.cu", "l1_scaled", subgradient_launch),
    flops=lambda p, *_, **__: 2 * p.size,
    traffic=lambda p, g, *_: (p.nbytes + g.nbytes, g.nbytes),
)
SOFT_THRESHOLD = Operation(
    "soft_threshold",
    threshold_reference,
    threshold_loop,
    elements,
    cuda=Cuda("l1.cu", "soft_threshold", threshold_launch),
    flops=lambda p, *_, **__: 2 * p.size,
    traffic=lambda p, *_: (p.nbytes, p.nbytes),
)
