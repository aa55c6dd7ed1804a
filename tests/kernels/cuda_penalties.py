"""Penalties and noise of autoencoders: the arguments of their operations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cuda_draw import ACTIVATIONS, Case, Draw, counters, largest

from gearshift.backends.philox import key_of


def absolute_sum(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    x = draw.normal(rows, n)
    yield Case([x, draw.junk(rows, 1)], (1,), terms={1: float(np.max(np.sum(np.abs(x), axis=1), initial=0))})


def absolute_sum_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    x = draw.normal(rows, n)
    x[: rows // 3] = 0
    yield Case([draw.normal(rows, 1), x, draw.junk(rows, n)], (2,))


def column_moment(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for power in (1, 2):
        x = draw.normal(rows, n)
        yield Case([x, draw.junk(n)], (1,), {"power": power}, {1: max(1.0, float(np.max(x * x, initial=0)))})


def column_moment_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for power in (1, 2):
        yield Case([draw.normal(n), draw.normal(rows, n), draw.junk(rows, n)], (2,), {"power": power})


def sparsity(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    mean = (draw.uniform(n) / 2).astype(draw.real)
    yield Case([mean, draw.junk(1)], (1,), {"rate": 0.05}, {1: 3.0 * n})


def sparsity_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    mean = (draw.uniform(n) / 2).astype(draw.real)
    yield Case([draw.normal(1), mean, draw.junk(n)], (2,), {"rate": 0.05}, {2: 20.0})


def contraction(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for activation in ACTIVATIONS:
        h, c = np.tanh(draw.normal(rows, n)), draw.uniform(n)
        yield Case([h, c, draw.junk(rows, 1)], (2,), {"activation": activation}, {2: 4 * float(np.sum(c))})


def contraction_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for activation in ACTIVATIONS:
        d, h, c = draw.normal(rows, 1), np.tanh(draw.normal(rows, n)), draw.uniform(n)
        sums = 4 * float(np.sum(np.abs(d)))
        arrays = [d, h, c, draw.junk(rows, n), draw.junk(n)]
        yield Case(arrays, (3, 4), {"activation": activation}, {3: 12 * largest(d), 4: sums})


def normal(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for deviation, stream, first in ((1.0, 0, 0), (0.3, 70_000, 5)):
        attributes = {"deviation": deviation, "stream": stream, "width": n}
        key = key_of(0xDEADBEEF12345678)
        yield Case([key, counters(first=first), draw.junk(rows, n)], (2,), attributes, {2: 6 * deviation})


def reparameterize(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case([*(draw.normal(rows, n) for _ in range(3)), draw.junk(rows, n)], (3,))


def reparameterize_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case([*(draw.normal(rows, n) for _ in range(3)), draw.junk(rows, n)], (3,))


def kl_normal(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    mean, log_variance = draw.normal(rows, n), draw.normal(rows, n)
    parts = mean**2 + np.exp(np.abs(log_variance)) + np.abs(log_variance)
    sums = float(np.max(np.sum(parts, axis=1), initial=0))
    yield Case([mean, log_variance, draw.junk(rows, 1)], (2,), terms={2: sums})


def kl_normal_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    arrays = [draw.normal(rows, 1), draw.normal(rows, n), draw.normal(rows, n)]
    yield Case([*arrays, draw.junk(rows, n), draw.junk(rows, n)], (3, 4))
