"""Computes the batch size that reaches the target fastest, with its learning rate and epochs. Pure functions.

The number of steps to a target is S_min (1 + B/b), with the noise scale B (McCandlish et al. 2018). A step takes t(b),
so the time is T(b) = S_min (1 + B/b) t(b). If t(b) = t0 + b·ts, the minimum is at √(B·n½) with n½ = t0/ts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....dl.optimizers.base import Optimizer
from .curve import Curve

NEAR = 1.05  # batch sizes within this factor of the shortest time count as good
GRID = 600


@dataclass(frozen=True)
class BestBatch:
    """The batch size that reaches the target fastest, and those within 5 % of it.

    Attributes
    ----------
    cost : (1 + B/b)·t(b), which is the time to the target divided by S_min.
    edge : "largest" or "smallest" if the best batch size is at the end of the range, otherwise empty.
    """

    batch: int
    low: int
    high: int
    cost: float
    edge: str = ""


def cost(measured: Curve, noise: float, batch: Any) -> Any:
    """(1 + B/b)·t(b), on the measured curve."""
    return (1 + noise / batch) * measured.at(batch)


def best_batch(measured: Curve, noise: float, largest: int) -> BestBatch:
    """The best batch size on the measured curve, of at most `largest` rows."""
    first = measured.batches[0]
    last = max(first, min(measured.batches[-1], largest))
    grid = np.exp(np.linspace(math.log(first), math.log(last), GRID))
    costs = cost(measured, noise, grid)
    best = int(np.argmin(costs))
    good = costs <= NEAR * costs[best]
    low = high = best
    while low and good[low - 1]:
        low -= 1
    while high + 1 < GRID and good[high + 1]:
        high += 1
    edge = "smallest" if best == 0 else "largest" if best == GRID - 1 else ""
    return BestBatch(round(grid[best]), round(grid[low]), round(grid[high]), float(costs[best]), edge)


def learning_rate(optimizer: str, lr: float, before: int, after: int, noise: float) -> float:
    """The learning rate for batch size `after` that corresponds to `lr` at `before`.

    For SGD, with or without momentum: ε(b) = ε_max / (1 + B/b) (McCandlish et al. 2018). For optimizers that normalise
    the gradient, such as Adam: ε(b) = 2 ε_max / (√(B/b) + √(b/B)), which rises up to b = B and then falls (Li et al.
    2024, arXiv 2405.14578).
    """

    kind = Optimizer.registered.get(optimizer)

    def relative(batch: int) -> float:
        if kind is not None and kind.proportional:
            return 1 / (1 + noise / batch)
        return 2 / (math.sqrt(noise / batch) + math.sqrt(batch / noise))

    return lr * relative(after) / relative(before) if noise > 0 else lr


def epochs(before: int, after: int, noise: float, count: int) -> int:
    """Epochs at batch size `after` that learn as much as `count` at `before`; examples are proportional to b + B."""
    return max(1, round(count * (after + noise) / (before + noise)))


def rounded(number: float) -> float:
    """A learning rate rounded to two digits."""
    return float(f"{number:.2g}")


def pleasant(best: BestBatch) -> int:
    """The power of two nearest to the best batch size, if one is among the good ones."""
    power = 2 ** round(math.log2(best.batch))
    return power if best.low <= power <= best.high else best.batch
