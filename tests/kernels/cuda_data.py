"""Rows on their way into a step: the arguments of their operations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cuda_draw import Case, Draw, counters, largest


def gather(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    examples = rows + 7
    order = draw.random.permutation(examples)
    pairs = [(dtype, draw.real) for dtype in (np.uint8, np.float32, np.float64, np.int64)]
    for source, target in [*pairs, (np.int64, np.int64), (np.uint8, np.int64)]:
        for width in ((n,), ()):
            data = draw.random.integers(0, 256, (examples, *width)).astype(source)
            yield Case([data, order, counters(), draw.junk(rows, *width, dtype=target)], (3,))


def _gather_matrices(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    """Cases of `gather` with data of two dimensions."""
    yield from (
        case for case in gather(draw, rows, n) if case.arrays[0].ndim == 2 and case.arrays[3].dtype == draw.real
    )


def gather_pair(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield from _paired(draw, _gather_matrices(draw, rows, n), rows)


def gather_standardized(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    examples = rows + 7
    order = draw.random.permutation(examples)
    for source in (np.uint8, np.float32, np.float64):
        data = draw.random.integers(0, 256, (examples, n)).astype(source)
        mean, scale = draw.normal(n), draw.uniform(n)
        arrays = [data, order, counters(), mean, scale, draw.junk(rows, n)]
        yield Case(arrays, (5,), terms={5: 1.5 * largest(data, mean)})


def gather_standardized_pair(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield from _paired(draw, gather_standardized(draw, rows, n), rows)


def _paired(draw: Draw, alone: Iterator[Case], rows: int) -> Iterator[Case]:
    """Each case with targets beside: labels, or several values."""
    for case in alone:
        *inputs, x = case.arrays
        for m, source, target in (1, np.int64, np.int64), (3, np.float32, np.float32), (40, np.float64, draw.real):
            data = draw.random.integers(0, 9, (rows + 7, m)).astype(source)
            place = len(inputs) + 1
            terms = dict.fromkeys([place], *case.terms.values()) if case.terms else {}
            yield Case([*inputs, data, x.copy(), draw.junk(rows, m, dtype=target)], (place, place + 1), {}, terms)


def standardize(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    x, mean, scale = draw.normal(rows, n), draw.normal(n), draw.uniform(n)
    yield Case([x, mean, scale, draw.junk(rows, n)], (3,), terms={3: 1.5 * largest(x, mean)})


def convert(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for dtype in (np.float32, np.float64):
        yield Case([draw.normal(rows, n).astype(dtype), draw.junk(rows, n)], (1,))


def row_words(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for stream, epoch in (0, 0), (1, 7), (0, (1 << 40) + 3):
        attributes = {"low": 0x12345678, "high": 0xDEADBEEF, "stream": stream, "epoch": epoch}
        yield Case([draw.junk(rows, dtype=np.uint64)], (0,), attributes)


def outgoing(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for own in 5, 0:
        message, totals = draw.normal(rows * n + 3), draw.random.uniform(1, 2, 3)
        yield Case([message, totals, np.array([own, 12, max(own, 1)])], (0, 1))


def incoming(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for failed, loss in (-1, 2.5), (-1, np.nan), (7, 2.5), (7, np.inf), (6, 2.5):
        message, totals = draw.normal(rows * n + 3), draw.random.uniform(1, 2, 3)
        message[-2] = loss
        arrays = [message, totals, counters(step=7, failed=failed), np.array([5, 12, 5])]
        yield Case(arrays, (1, 2))
