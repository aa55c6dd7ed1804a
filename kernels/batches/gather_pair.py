"""Gathers features and targets of a minibatch in one pass."""

from __future__ import annotations

import math
from typing import Any

from ..launch import over_tiles
from ..operation import Cuda, Launch, Operation
from .gather import reference as gather
from .gather_standardized import reference as gather_standardized


def reference(xp: Any, data: Any, order: Any, counters: Any, targets: Any, x: Any, y: Any) -> None:
    """x (rows, n) and y (rows, m) from `data` (examples, n) and `targets` (examples, m), as `gather` does each."""
    gather(xp, data, order, counters, x)
    gather(xp, targets, order, counters, y)


def standardized_reference(
    xp: Any, data: Any, order: Any, counters: Any, mean: Any, scale: Any, targets: Any, x: Any, y: Any
) -> None:
    """The same, with x standardised by `mean` and `scale` (n,) as `gather_standardized` does."""
    gather_standardized(xp, data, order, counters, mean, scale, x)
    gather(xp, targets, order, counters, y)


def traffic(data: Any, order: Any, *others: Any) -> tuple[int, int]:
    """Counts only the batch's rows of both arrays."""
    targets, x, y = others[-3:]
    read = x.size * data.itemsize + y.size * targets.itemsize + x.shape[0] * order.itemsize
    return read, x.nbytes + y.nbytes


def launch(*arrays: Any) -> Launch:
    """A line of threads per row, as long as the features need."""
    x, y = arrays[-2:]
    count, n, m = x.shape[0], math.prod(x.shape[1:]), math.prod(y.shape[1:])
    return over_tiles(count, max(n, m), *arrays, count, n, m)


GATHER_PAIR = Operation(
    "gather_pair",
    reference,
    cuda=Cuda(
        "gather_pair.cu", "gather_pair", launch, types={"DATA": 0, "REAL": 4, "VALUE": 4, "TARGETS": 3, "TARGET": 5}
    ),
    traffic=traffic,
)
GATHER_STANDARDIZED_PAIR = Operation(
    "gather_standardized_pair",
    standardized_reference,
    cuda=Cuda(
        "gather_pair.cu",
        "gather_standardized_pair",
        launch,
        types={"DATA": 0, "REAL": 3, "VALUE": 6, "TARGETS": 5, "TARGET": 7},
    ),
    flops=lambda *arrays: 2 * arrays[-2].size,
    traffic=traffic,
)
