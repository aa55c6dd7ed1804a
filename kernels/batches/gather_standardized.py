"""Gathers and standardises a minibatch in one pass."""

from __future__ import annotations

from typing import Any

from ..counters import CURSOR
from ..launch import over_tiles
from ..operation import Cuda, Launch, Operation
from .gather import rows, traffic


def reference(xp: Any, data: Any, order: Any, counters: Any, mean: Any, scale: Any, batch: Any) -> None:
    """batch[i] = (data[order[cursor + i]] − mean) · scale, in the batch's dtype.

    `batch` (rows, n), `data` (examples, n) of any numeric dtype, `order` (examples,) int64, `mean` and `scale` (n,).
    """
    cursor = int(counters[CURSOR])
    batch[...] = data[order[cursor : cursor + batch.shape[0]]]
    batch[...] = (batch - mean) * scale


def loop(start: int, stop: int, data: Any, order: Any, counters: Any, mean: Any, scale: Any, batch: Any) -> None:
    """`reference` over rows `start` to `stop` of the batch."""
    cursor, real = counters[CURSOR], batch.dtype.type
    for row in range(start, stop):
        source, target = data[order[cursor + row]], batch[row]
        for j in range(mean.shape[0]):
            target[j] = (real(source[j]) - mean[j]) * scale[j]


def launch(data: Any, order: Any, counters: Any, mean: Any, scale: Any, batch: Any) -> Launch:
    """One thread per element of the batch."""
    return over_tiles(*batch.shape, data, order, counters, mean, scale, batch, *batch.shape)


GATHER_STANDARDIZED = Operation(
    "gather_standardized",
    reference,
    loop,
    rows,
    cuda=Cuda("gather_standardized.cu", "gather_standardized", launch, types={"DATA": 0, "REAL": 3, "VALUE": 5}),
    flops=lambda *arrays: 2 * arrays[-1].size,
    traffic=traffic,
)
