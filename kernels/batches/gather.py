"""Gathers a minibatch: rows of the data set in the order of the epoch, from the cursor on.

It may be standardised in the same pass, and the targets may be gathered with the features.
"""

from __future__ import annotations

import math
from typing import Any

from ..counters import CURSOR
from ..launch import over_tiles
from ..operation import Cuda, Launch, Operation


def reference(xp: Any, data: Any, order: Any, counters: Any, batch: Any) -> None:
    """batch[i] = data[order[cursor + i]], converted to the batch's dtype.

    `batch` (rows, n), `data` (examples, n) of any numeric dtype, `order` (examples,) int64.
    """
    cursor = int(counters[CURSOR])
    batch[...] = data[order[cursor : cursor + batch.shape[0]]]


def loop(start: int, stop: int, data: Any, order: Any, counters: Any, batch: Any) -> None:
    """`reference` over rows `start` to `stop` of the batch."""
    cursor = counters[CURSOR]
    for row in range(start, stop):
        source, target = data[order[cursor + row]], batch[row]
        for j in range(source.shape[0]):
            target[j] = source[j]


def rows(*arrays: Any) -> int:
    """Number of items: the rows of the batch."""
    return arrays[-1].shape[0]


def traffic(data: Any, order: Any, *others: Any) -> tuple[int, int]:
    """Counts only the batch's rows of the data."""
    batch = others[-1]
    return batch.size * data.itemsize + batch.shape[0] * order.itemsize, batch.nbytes


def launch(*arrays: Any) -> Launch:
    """A line of threads per row of the batch, the last array."""
    count, n = arrays[-1].shape[0], math.prod(arrays[-1].shape[1:])
    return over_tiles(count, n, *arrays, count, n)


def standardized_reference(xp: Any, data: Any, order: Any, counters: Any, mean: Any, scale: Any, batch: Any) -> None:
    """batch[i] = (data[order[cursor + i]] − mean) · scale, in the batch's dtype.

    `batch` (rows, n), `data` (examples, n) of any numeric dtype, `order` (examples,) int64, `mean` and `scale` (n,).
    """
    reference(xp, data, order, counters, batch)
    batch[...] = (batch - mean) * scale


def standardized_loop(
    start: int, stop: int, data: Any, order: Any, counters: Any, mean: Any, scale: Any, batch: Any
) -> None:
    """`standardized_reference` over rows `start` to `stop` of the batch."""
    cursor, real = counters[CURSOR], batch.dtype.type
    for row in range(start, stop):
        source, target = data[order[cursor + row]], batch[row]
        for j in range(mean.shape[0]):
            target[j] = (real(source[j]) - mean[j]) * scale[j]


def pair_reference(xp: Any, data: Any, order: Any, counters: Any, targets: Any, x: Any, y: Any) -> None:
    """x (rows, n) and y (rows, m) from `data` (examples, n) and `targets` (examples, m), as `gather` does each."""
    reference(xp, data, order, counters, x)
    reference(xp, targets, order, counters, y)


def standardized_pair_reference(
    xp: Any, data: Any, order: Any, counters: Any, mean: Any, scale: Any, targets: Any, x: Any, y: Any
) -> None:
    """The same, with x standardised by `mean` and `scale` (n,) as `gather_standardized` does."""
    standardized_reference(xp, data, order, counters, mean, scale, x)
    reference(xp, targets, order, counters, y)


def pair_traffic(data: Any, order: Any, *others: Any) -> tuple[int, int]:
    """Counts only the batch's rows of both arrays."""
    targets, x, y = others[-3:]
    read = x.size * data.itemsize + y.size * targets.itemsize + x.shape[0] * order.itemsize
    return read, x.nbytes + y.nbytes


def pair_launch(*arrays: Any) -> Launch:
    """A line of threads per row, as long as the features need."""
    x, y = arrays[-2:]
    count, n, m = x.shape[0], math.prod(x.shape[1:]), math.prod(y.shape[1:])
    return over_tiles(count, max(n, m), *arrays, count, n, m)


GATHER = Operation(
    "gather",
    reference,
    loop,
    rows,
    cuda=Cuda("gather.cu", "gather", launch, types={"DATA": 0, "BATCH": 3}),
    traffic=traffic,
)
GATHER_STANDARDIZED = Operation(
    "gather_standardized",
    standardized_reference,
    standardized_loop,
    rows,
    cuda=Cuda("gather_standardized.cu", "gather_standardized", launch, types={"DATA": 0, "REAL": 3, "VALUE": 5}),
    flops=lambda *arrays: 2 * arrays[-1].size,
    traffic=traffic,
)
GATHER_PAIR = Operation(
    "gather_pair",
    pair_reference,
    cuda=Cuda(
        "gather_pair.cu",
        "gather_pair",
        pair_launch,
        types={"DATA": 0, "REAL": 4, "VALUE": 4, "TARGETS": 3, "TARGET": 5},
    ),
    traffic=pair_traffic,
)
GATHER_STANDARDIZED_PAIR = Operation(
    "gather_standardized_pair",
    standardized_pair_reference,
    cuda=Cuda(
        "gather_pair.cu",
        "gather_standardized_pair",
        pair_launch,
        types={"DATA": 0, "REAL": 3, "VALUE": 6, "TARGETS": 5, "TARGET": 7},
    ),
    flops=lambda *arrays: 2 * arrays[-2].size,
    traffic=pair_traffic,
)
