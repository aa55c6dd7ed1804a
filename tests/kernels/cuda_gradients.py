"""Counters and totals, clipping, penalties on weights and scaled losses: the arguments of their operations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cuda_draw import Case, Draw, counters, largest, update_arrays

from gearshift.kernels.launch import column_tiles, parts


def advance(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case([counters(), draw.normal(rows, n)], (0,))


def accumulate_metrics(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for columns in (1, 2):
        scores = draw.normal(rows, columns)
        for bad in (False, True):
            if bad and rows:
                scores[rows // 2, 0] = np.nan
            totals = draw.random.standard_normal(1 + columns)
            for failed in (-1, 4):
                arrays = [scores.copy(), counters(failed=failed), totals.copy()]
                yield Case(arrays, (1, 2), terms={2: float(np.nansum(np.abs(scores))) + largest(totals) + rows})


def sum_rows(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    x = draw.normal(rows, n)
    arrays = [x, draw.junk(n), draw.junk(parts(n), n), np.zeros(column_tiles(n), dtype=np.uint32)]
    yield Case(arrays, (1,), terms={1: float(np.max(np.sum(np.abs(x), axis=0), initial=0))})


def clip_values(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    g = draw.normal(rows * n)
    g[: rows // 3] = np.nan
    yield Case([g], (0,), {"bound": 0.75})


def clip_factor(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for max_norm in (0.25, 1e9):
        partial = draw.random.uniform(0, 2, rows * n)
        yield Case([partial, draw.junk(1)], (1,), {"max_norm": max_norm})


def gradient_squares(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    g = draw.normal(rows * n)
    partial = draw.junk((g.size + 4095) // 4096, dtype=np.float64)
    yield Case([g, partial], (1,))


def l1_subgradient(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    p, g, bounds, *_ = update_arrays(draw, rows * n, 0, [0.1])
    p[::3] = 0
    yield Case([p, g, bounds, np.array([1, 0, 1], dtype=draw.real)], (1,), {"strength": 0.3}, {1: largest(g) + 1})


def soft_threshold(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for changes in {}, {"failed": 4}, {"skip": 1}:
        p, _, bounds, factors, table, *_ = update_arrays(draw, rows * n, 0, [0.75])
        p[::3] = 0
        weights = np.array([1, 0, 1], dtype=draw.real)
        arrays = [p, bounds, factors, weights, table.reshape(-1), counters(**changes)]
        yield Case(arrays, (0,), {"strength": 0.5}, {0: largest(p) + 1})


def average(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for changes in {}, {"failed": 4}, {"skip": 1}:
        p, *_, table, _, _ = update_arrays(draw, rows * n, 0, [0.125])
        arrays = [p, draw.normal(rows * n), table.reshape(-1), counters(**changes)]
        yield Case(arrays, (1,), {}, {1: largest(p) + largest(arrays[1])})


def scale_gradient(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    scale = np.array([1024, 3, 0], dtype=draw.real)
    yield Case([draw.normal(rows, n), scale, draw.junk(rows, n)], (2,))


def unscale(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for bad in (None, np.inf, np.nan):
        rates, constants = draw.random.uniform(0, 1, 300), draw.random.uniform(-1, 1, (300, 5, 2))
        table = (constants[:, :, 0] + rates[:, None] * constants[:, :, 1]).astype(draw.real)
        for scale, steps in (1024, 3), (1024, 1999), (2.0**-24, 7):
            for max_norm in (np.inf, 1e-5, 1e9):
                partial = draw.random.uniform(0, 2, rows * n)
                if bad is not None:
                    partial[rows * n // 2 :] = bad
                scales = np.array([scale, steps, 1], dtype=draw.real)
                arrays = [partial, rates, constants, scales, counters(step=8), table, draw.junk(1)]
                yield Case(arrays, (3, 4, 5, 6), {"max_norm": max_norm}, {5: 2.0})


def clip_scaled(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for lost in (np.nan, np.inf, -np.inf):
        g = draw.normal(rows * n)
        g[: rows // 3] = lost
        yield Case([g, np.array([1024, 3, 0], dtype=draw.real)], (0,), {"bound": 0.75 / 1024})


def l1_scaled(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for case in l1_subgradient(draw, rows, n):
        scale = np.array([64, 3, 0], dtype=draw.real)
        yield Case([*case.arrays, scale], (1,), {"strength": 0.3 / 64}, case.terms)
