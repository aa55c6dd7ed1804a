"""Batch and layer normalisation: the arguments of their operations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cuda_draw import Case, Draw, counters, largest

from gearshift.kernels.launch import column_tiles, parts


def batch_norm(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    x, statistics = draw.normal(rows, n), [draw.junk(n, dtype=np.float64) for _ in range(3)]
    arrays = [x, draw.uniform(n), draw.normal(n), draw.junk(rows, n), *statistics]
    bound = largest(x) + 1
    yield Case(arrays, (3, 4, 5, 6), {"eps": 0.1}, {3: 5 * bound, 4: bound, 5: bound**2, 6: 10.0})


def batch_norm_fixed(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    x, mean, variance = draw.normal(rows, n), draw.normal(n), draw.uniform(n)
    arrays = [x, draw.uniform(n), draw.normal(n), mean, variance, draw.junk(rows, n), draw.junk(n, dtype=np.float64)]
    yield Case(arrays, (5, 6), {"eps": 1e-5}, {5: 3 * largest(x, mean) + 1, 6: 2.0})


def batch_norm_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for moving, dtype in (0, draw.real), (1, np.float64):
        dy, x = draw.normal(rows, n), draw.normal(rows, n)
        given = [dy, x, draw.uniform(n), draw.normal(n).astype(dtype), draw.uniform(n).astype(np.float64)]
        arrays = [*given, draw.junk(rows, n), draw.junk(n), draw.junk(n), draw.junk(2, n, dtype=np.float64)]
        sums = float(np.max(np.sum(np.abs(dy), axis=0), initial=0)) * (largest(x) + 4)
        yield Case(arrays, (5, 6, 7), {"moving": moving}, {5: sums + largest(dy) * 9, 6: sums, 7: sums})


def running_statistics(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for failed in (-1, 4):
        batch = [draw.uniform(n).astype(np.float64) for _ in range(2)]
        arrays = [draw.normal(rows, n), *batch, draw.normal(n), draw.uniform(n), counters(failed=failed)]
        yield Case(arrays, (3, 4), {"momentum": 0.1}, {3: 4.0, 4: 4.0})


def layer_norm(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    if n == 0:
        return
    x, scale, shift = draw.normal(rows, n) * 2 + 1, draw.uniform(n), draw.normal(n)
    terms = {3: 2 * np.sqrt(n) + largest(shift), 4: 2 + 1 / np.sqrt(1e-3)}
    yield Case([x, scale, shift, draw.junk(rows, n), draw.junk(rows, 2)], (3, 4), {"eps": 1e-3}, terms)


def _statistics(x: np.ndarray) -> np.ndarray:
    """Mean and inverse deviation of each row."""
    return np.stack([x.mean(axis=1), 1 / np.sqrt(x.var(axis=1) + 1e-3)], axis=1).astype(x.dtype)


def layer_norm_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    if n == 0:
        return
    dy, x, scale = draw.normal(rows, n), draw.normal(rows, n) * 2 + 1, draw.uniform(n)
    statistics = _statistics(x)
    terms = {4: 6 * largest(dy) * np.sqrt(n) * largest(statistics[:, 1])}
    yield Case([dy, x, scale, statistics, draw.junk(rows, n)], (4,), terms=terms)


def layer_norm_sums(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    dy, x = draw.normal(rows, n), draw.normal(rows, n) * 2 + 1
    statistics = _statistics(x) if n else draw.uniform(rows, 2)
    scratch = draw.junk(2, parts(n), n), np.zeros(column_tiles(n), dtype=np.uint32)
    h = (np.abs(x) + np.abs(statistics[:, :1])) * statistics[:, 1:]
    sums = [float(np.max(np.sum(np.abs(terms), axis=0), initial=0)) for terms in (dy * h, dy)]
    arrays = [dy, x, statistics, draw.junk(n), draw.junk(n), *scratch]
    yield Case(arrays, (3, 4), terms=dict(zip((3, 4), sums, strict=True)))
