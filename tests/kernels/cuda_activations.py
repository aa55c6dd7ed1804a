"""Activations, and what stands between layers: the arguments of their operations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cuda_draw import ACTIVATIONS, Case, Draw, counters, largest

from gearshift.backends.philox import key_of
from gearshift.kernels.launch import column_tiles, parts


def activation(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for activation in ACTIVATIONS:
        yield Case([draw.normal(rows, n) * 3, draw.junk(rows, n)], (1,), {"activation": activation})


def activation_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for activation in ACTIVATIONS:
        y = np.tanh(draw.normal(rows, n))
        yield Case([draw.normal(rows, n), y, draw.junk(rows, n)], (2,), {"activation": activation})


def bias_activation(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for activation in ACTIVATIONS:
        z, bias = draw.normal(rows, n), draw.normal(n)
        yield Case([z, bias, draw.junk(rows, n)], (2,), {"activation": activation}, {2: largest(z, bias)})


def bias_activation_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for activation in ACTIVATIONS:
        dy, y = draw.normal(rows, n), np.tanh(draw.normal(rows, n))
        arrived = np.zeros(column_tiles(n), dtype=np.uint32)
        arrays = [dy, y, draw.junk(rows, n), draw.junk(n), draw.junk(parts(n), n), arrived]
        sums = float(np.max(np.sum(np.abs(dy), axis=0), initial=0))
        yield Case(arrays, (2, 3), {"activation": activation}, {2: largest(dy), 3: sums})


def gelu(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    x = draw.normal(rows, n) * 3
    yield Case([x, draw.junk(rows, n)], (1,), terms={1: largest(x)})  # x / 2 + x · tanh(…) / 2


def gelu_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    dy = draw.normal(rows, n)
    yield Case([dy, draw.normal(rows, n) * 3, draw.junk(rows, n)], (2,), terms={2: 2 * largest(dy)})


def softplus(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case([draw.normal(rows, n) * 9, draw.junk(rows, n)], (1,), terms={1: 50})


def softplus_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    dy = draw.normal(rows, n)
    yield Case([dy, np.abs(draw.normal(rows, n)), draw.junk(rows, n)], (2,), terms={2: largest(dy)})


def maxout(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for k in (1, 3):
        yield Case([np.round(draw.normal(rows, n * k) * 2), draw.junk(rows, n)], (1,))


def maxout_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for k in (1, 3):
        yield Case([draw.normal(rows, n), np.round(draw.normal(rows, n * k) * 2), draw.junk(rows, n * k)], (2,))


def dropout(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for p, stream, first in ((0.0, 0, 0), (0.1, 3, 0), (0.5, 70_000, 5)):
        attributes = {"threshold": round(p * 2**32), "scale": 1 / (1 - p), "stream": stream, "width": n}
        key = key_of(0xDEADBEEF12345678)
        yield Case([draw.normal(rows, n), key, counters(first=first), draw.junk(rows, n)], (3,), attributes)


def add(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    a, b = draw.normal(rows, n), draw.normal(rows, n)
    yield Case([a, b, draw.junk(rows, n)], (2,), terms={2: largest(a, b)})


def concatenate(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for m in (1, n):
        yield Case([draw.normal(rows, m), draw.normal(rows, n), draw.junk(rows, m + n)], (2,))


def split(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for m in (1, n):
        yield Case([draw.normal(rows, m + n), draw.junk(rows, m), draw.junk(rows, n)], (1, 2))


def columns(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for first, dtype in (0, draw.real), (2, np.int64):
        x = draw.random.integers(0, 99, (rows, n + 3)).astype(draw.real)
        yield Case([x, draw.junk(rows, n, dtype=dtype)], (1,), {"first": first})


def columns_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case([draw.normal(rows, n), draw.junk(rows, n + 3)], (1,), {"first": 2})


def column_moment(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for power in (1, 2):
        x = draw.normal(rows, n)
        yield Case([x, draw.junk(n)], (1,), {"power": power}, {1: max(1.0, float(np.max(x * x, initial=0)))})


def column_moment_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for power in (1, 2):
        yield Case([draw.normal(n), draw.normal(rows, n), draw.junk(rows, n)], (2,), {"power": power})


def normal(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for deviation, stream, first in ((1.0, 0, 0), (0.3, 70_000, 5)):
        attributes = {"deviation": deviation, "stream": stream, "width": n}
        key = key_of(0xDEADBEEF12345678)
        yield Case([key, counters(first=first), draw.junk(rows, n)], (2,), attributes, {2: 6 * deviation})
