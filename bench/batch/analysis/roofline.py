"""The time bound of a training step, by the roofline model (Williams et al. 2009). Pure functions.

Operations run one after another, so their time bounds add up. The time bound of an operation is the largest of its
launch time, its bytes divided by the memory rate, and its floating-point operations divided by the peak rate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....dl.step.costs import Cost
from ..points import TimeBound
from ..records import PeakRates


def time_bounds(costs: Sequence[Cost], rates: PeakRates) -> list[TimeBound]:
    """The three time bounds of each operation."""
    peaks = {(rate.layer, rate.product): rate.flops_per_second for rate in rates.products}
    best = max(peaks.values(), default=float("inf"))

    def peak(cost: Cost) -> float:
        own = peaks.get((cost.layer, cost.product))
        return own or rates.arithmetic.get(cost.operation, best)

    cheapest = min(rates.launches.values(), default=0.0)
    return [
        TimeBound(
            operation=cost.operation,
            layer=cost.layer,
            phase=cost.phase,
            flops=cost.flops,
            bytes=cost.read + cost.written,
            compute=cost.flops / peak(cost),
            memory=memory_seconds(cost, rates),
            launch=cost.launches * rates.launches.get(cost.operation, cheapest),
        )
        for cost in costs
    ]


def memory_seconds(cost: Cost, rates: PeakRates) -> float:
    """Seconds to move an operation's bytes, at the rate measured for arrays of the same size."""
    if not rates.streams:
        return 0.0
    both = min(cost.read, cost.written) if cost.in_place else 0
    size = cost.read + cost.written - both
    if not size:
        return 0.0
    sizes = np.log([stream.bytes for stream in rates.streams])

    def rate(name: str) -> float:
        known = np.log([getattr(stream, name) for stream in rates.streams])
        return float(np.exp(np.interp(np.log(size), sizes, known)))

    return (cost.read - both) / rate("read") + (cost.written - both) / rate("write") + 2 * both / rate("update")
