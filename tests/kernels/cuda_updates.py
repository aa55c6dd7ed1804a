"""Optimizers' updates: the arguments of their operations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cuda_draw import Case, Draw, counters, update_arrays

import gearshift as gs


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
    yield Case(update_arrays(draw, rows * n, 1, list(gs.Momentum().constants(3, 0.1))), (0, 2))


def nesterov_ahead(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case(update_arrays(draw, rows * n, 2, [0.1, 0.9]), (0, 3))


def nesterov(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for failed in (-1, 7):
        arrays = update_arrays(draw, rows * n, 2, [0.1, 0.9])
        arrays[-2] = counters(step=7, failed=failed)
        yield Case(arrays, (0, 2))


def adagrad(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    constants = gs.Adagrad(initial_accumulator_value=0.5, eps=1e-6).constants(3, 0.1)
    yield Case(update_arrays(draw, rows * n, 1, list(constants)), (0, 2))


def adadelta(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case(update_arrays(draw, rows * n, 2, list(gs.Adadelta().constants(3, 1.0))), (0, 2, 3))


def deltabardelta(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    arrays = update_arrays(draw, rows * n, 2, list(gs.DeltaBarDelta(lr=1.0).constants(3, 0.5)))
    for index in (1, 3):
        arrays[index] = _far_from_zero(draw, rows * n)
    yield Case(arrays, (0, 2, 3))


def _far_from_zero(draw: Draw, size: int) -> np.ndarray:
    signs = np.where(draw.random.uniform(size=size) < 0.5, -1, 1)
    return (signs * draw.random.uniform(2, 3, size)).astype(draw.real)
