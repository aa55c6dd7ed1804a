"""The sum over the rows of an array, for each of its columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..launch import column_tiles, over_columns, parts
from ..operation import Cuda, Launch, Operation

CHUNK = 128  # rows that are summed separately before they are added to the total, for accurate float32 sums


def reference(xp: Any, x: Any, y: Any, partial: Any, arrived: Any) -> None:
    """y (…) = the sum of x (rows, …) over the rows.

    `partial` (parts(n), n) is scratch, for n elements of y; `arrived` (column_tiles(n),) uint32 is 0 before and after.
    """
    y[...] = xp.sum(x, axis=0)


def loop(start: int, stop: int, x: Any, y: Any, partial: Any, arrived: Any) -> None:
    """`reference` for columns `start` to `stop`, rows in chunks of `CHUNK` in order."""
    zero, n, flat = y.dtype.type(0), stop - start, x.reshape(-1)
    total, part = y.reshape(-1)[start:stop], partial[0, start:stop]
    for j in range(n):
        total[j] = zero
    for first in range(0, x.shape[0], CHUNK):
        for j in range(n):
            part[j] = zero
        for row in range(first, min(first + CHUNK, x.shape[0])):
            xs = flat[row * y.size + start : row * y.size + stop]
            for j in range(n):
                part[j] += xs[j]
        for j in range(n):
            total[j] += part[j]


def columns(x: Any, y: Any, *arrays: Any) -> int:
    """Number of items: the elements of a row."""
    return y.size


def launch(x: Any, y: Any, partial: Any, arrived: Any) -> Launch:
    """One block per group of columns and part of the rows."""
    count = x.shape[0]
    found = over_columns(count, y.size)
    return replace(found, arguments=(x, y, partial, arrived, count, y.size, -(-count // found.grid[1])))


def sum_rows(graph: Any, x: Any, y: Any) -> None:
    """Appends y = the sum of x over the rows."""
    n = 1
    for size in y.shape:
        n *= size
    partial, arrived = graph.fixed((parts(n), n), y.dtype), graph.fixed((column_tiles(n),), "uint32")
    graph.apply(SUM_ROWS, (x,), (y, partial, arrived))


SUM_ROWS = Operation(
    "sum_rows",
    reference,
    loop,
    columns,
    cuda=Cuda("sum_rows.cu", "sum_rows", launch, types={"VALUE": 0, "REAL": 1}),
    flops=lambda x, *_: x.size,
    scratch=(2, 3),
)
