"""Optimizers' updates: the arguments of their operations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cuda_draw import Case, Draw, counters, update_arrays


def sgd(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for moving, constants in (0, [0.1, 0, 1, 1, 0]), (1, [0.1, 0.9, 0.8, 1, 0.9]):
        arrays = update_arrays(draw, rows * n, 1, constants)
        if not moving:
            arrays[2] = arrays[2][:0]
        yield Case(arrays, (0, 2), {"moving": moving})


def rmsprop(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for centered in (0, 1):
        for moving in (0, 1):
            arrays = update_arrays(draw, rows * n, 3, [0.01, 0.9, 0.1, 1e-8, 0.5])
            arrays[2] += 3  # the mean of squares is above the square of the mean
            if not centered:
                arrays[3] = arrays[3][:0]
            if not moving:
                arrays[4] = arrays[4][:0]
            yield Case(arrays, (0, 2, 3, 4), {"centered": centered, "moving": moving})


def adam(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for decoupled in (0, 1):
        arrays = update_arrays(draw, rows * n, 2, [0.01, 0.05, 1.5, 0.9, 0.1, 0.999, 0.001, 1e-8])
        yield Case(arrays, (0, 2, 3), {"decoupled": decoupled})


def momentum(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case(update_arrays(draw, rows * n, 1, [0.1, 0.9]), (0, 2))


def nesterov_ahead(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case(update_arrays(draw, rows * n, 2, [0.1, 0.9]), (0, 3))


def nesterov(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for failed in (-1, 7):
        arrays = update_arrays(draw, rows * n, 2, [0.1, 0.9])
        arrays[-2] = counters(step=7, failed=failed)
        yield Case(arrays, (0, 2))


def adagrad(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case(update_arrays(draw, rows * n, 1, [0.1, 0.5, 1e-6]), (0, 2))


def adadelta(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case(update_arrays(draw, rows * n, 2, [1, 0.9, 0.1, 1e-6]), (0, 2, 3))


def delta_bar_delta(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    arrays = update_arrays(draw, rows * n, 2, [0.5, 0.01, 0.9, 0.7, 0.3])
    for index in (1, 3):  # far from 0, where rounding decides the sign
        signs = np.where(draw.random.uniform(size=rows * n) < 0.5, -1, 1)
        arrays[index] = (signs * draw.random.uniform(2, 3, rows * n)).astype(draw.real)
    yield Case(arrays, (0, 2, 3))
