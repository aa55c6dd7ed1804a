"""Gathers a minibatch: rows of the data set in the order of the epoch, from the cursor on."""

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


def launch(data: Any, order: Any, counters: Any, batch: Any) -> Launch:
    """A line of threads per row."""
    count, n = batch.shape[0], math.prod(batch.shape[1:])
    return over_tiles(count, n, data, order, counters, batch, count, n)


GATHER = Operation(
    "gather",
    reference,
    loop,
    rows,
    cuda=Cuda("gather.cu", "gather", launch, types={"DATA": 0, "BATCH": 3}),
    traffic=traffic,
)
