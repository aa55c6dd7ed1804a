"""Float32 products in bfloat16 terms, compiled for the matrix unit and as their Python says, against float64."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gearshift.backends import matrix_unit
from gearshift.backends import numba as numba_backend
from gearshift.backends.matrix_unit import begin, end
from gearshift.kernels.dense.matrix_product import (
    ALL,
    DEPTH,
    LEFT_PANELS,
    Columns,
    Right,
    matrix_product,
    split_columns,
    split_rows,
    words,
)
from gearshift.kernels.dense.parts import Matrix, Tools

GUARD, MARK = 40, 12345
WHOLE = {"": matrix_unit.ALL_PAIRS, "a": matrix_unit.INTEGERS_LEFT, "b": matrix_unit.INTEGERS_RIGHT}
unit = pytest.mark.skipif(not matrix_unit.available(), reason="this processor has no matrix unit that may be used")


def multiply(rows, columns, depth, a, b, c, more, panels, strip, pairs, factors) -> None:
    """c = a·(factors b) as a chain of calls has it: in parts of the depth, while the next columns are split."""
    begin()
    tools, right = Tools(strip, 16, 8, panels), 0
    operand = Right(b.values, b.row, factors, pairs)
    split_columns(0, ALL, Columns(columns, min(DEPTH, depth), b.start, 0), operand, panels, right)
    for k in range(0, depth, DEPTH):
        deep, following = min(DEPTH, depth - k), columns if k + DEPTH < depth else 0
        split_rows(rows, deep, Matrix(a.values, a.start + k, a.row, 1), panels, LEFT_PANELS)
        here = Columns(columns, deep, b.start + k * b.row, k)
        then = Columns(following, min(DEPTH, depth - k - DEPTH), b.start + (k + DEPTH) * b.row, k + DEPTH)
        right = matrix_product(rows, here, then, operand, c, more + k, LEFT_PANELS, right, tools)
    end()


multiply.__module__ = "gearshift.kernels.dense.matrix_product"  # so that it is compiled with what it calls


def guarded(values: np.ndarray) -> np.ndarray:
    """The values in a flat array between guard zones, which are no numbers: they must not count."""
    none = np.nan if values.dtype.kind == "f" else 12321
    flat = np.full(values.size + 2 * GUARD, none, dtype=values.dtype)
    flat[GUARD:-GUARD] = values.reshape(-1)
    return flat


def check(
    text, rows: int, columns: int, depth: int, more: bool, seed: int, scale: float = 1.0, whole: str = ""
) -> float:
    """Multiplies random matrices, `whole` one of integers; the largest error, by the sums of the terms' sizes."""
    random = np.random.default_rng(seed)
    a = (random.normal(size=(rows, depth)) * scale).astype(np.float32)
    b = random.normal(size=(depth, columns)).astype(np.float32)
    if whole == "a":
        a = random.integers(-255, 256, a.shape).astype(np.int16)
    if whole == "b":
        b = random.integers(-255, 256, b.shape).astype(np.int16)
    factors = random.uniform(0.01, 2, depth + DEPTH).astype(np.float32) if whole == "a" else np.zeros(0, np.float32)
    cm = -(-columns // 16) * 16
    c = random.normal(size=(rows, cm)).astype(np.float32)
    flat_a, flat_b, flat_c = guarded(a), guarded(b), guarded(c)
    size = LEFT_PANELS + words(rows, min(depth, DEPTH))
    panels, strip = np.full(size + GUARD, MARK, np.int32), np.full(1024 + GUARD, MARK, np.float32)
    left, right = Matrix(flat_a, GUARD, depth, 1), Matrix(flat_b, GUARD, columns, 1)
    out = Matrix(flat_c, GUARD, cm, 1)
    text(rows, columns, depth, left, right, out, int(more), panels, strip, WHOLE[whole], factors)
    a, b = a.astype(np.float64), b.astype(np.float64)
    b *= factors[:depth, None] if factors.size else 1
    exact = a @ b + (c[:, :columns] if more else 0)
    terms = np.abs(a) @ np.abs(b) + np.abs(c[:, :columns]) * more
    found = flat_c[GUARD:-GUARD].reshape(rows, cm)[:, :columns]
    assert np.isnan(flat_c[:GUARD]).all() and np.isnan(flat_c[-GUARD:]).all()
    assert (panels[size:] == MARK).all() and (strip[1024:] == MARK).all()
    off = np.abs(found - exact)
    assert not off[terms == 0].any()  # an integer may be 0
    return float((off / np.where(terms, terms, 1)).max())


sizes = (st.integers(1, 130), st.integers(1, 130), st.integers(1, 3 * DEPTH), st.booleans(), st.integers(0, 2**32 - 1))
whole = st.sampled_from(["", "a", "b"])


@unit
@settings(max_examples=60, deadline=None)
@given(*sizes, st.sampled_from([1e-12, 1.0, 1e12]), whole)
def test_products(rows, columns, depth, more, seed, scale, whole) -> None:
    assert check(numba_backend.compiled(multiply), rows, columns, depth, more, seed, scale, whole) < 5e-7


@pytest.mark.parametrize("rows, columns, depth", [(1, 1, 1), (33, 17, 150), (16, 40, 31), (48, 32, 64)])
@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("whole", ["", "a", "b"])
def test_the_text_uncompiled(rows: int, columns: int, depth: int, more: bool, whole: str) -> None:
    assert check(multiply, rows, columns, depth, more, 3, whole=whole) < 5e-7


def test_terms_are_exact() -> None:
    """Three terms of 8 bits are all of a float32 number's 24."""
    random = np.random.default_rng(0)
    values = (random.normal(size=32) * 10.0 ** random.integers(-20, 20, 32)).astype(np.float32)
    out = np.zeros(3 * matrix_unit.TILE, np.int32)
    matrix_unit.split(values, 0, 16, 1.0, 16, 16, 1.0, out, 0)
    terms = out.view(np.uint32).reshape(3, -1)[:, :16]
    low, high = (terms << np.uint32(16)).view(np.float32), (terms & np.uint32(0xFFFF0000)).view(np.float32)
    total = np.concatenate([low, high], axis=1).astype(np.float64).sum(0)
    assert (total == values).all()


@unit
def test_as_accurate_as_float32() -> None:
    """The error of a long sum of products of one sign is no larger than that of a float32 product."""
    random = np.random.default_rng(1)
    a, b = (random.uniform(size=shape).astype(np.float32) for shape in ((64, 700), (700, 64)))
    c, exact = np.zeros((64, 64), np.float32), a.astype(np.float64) @ b
    panels, strip = np.zeros(LEFT_PANELS + words(64, DEPTH), np.int32), np.zeros(1024, np.float32)
    left, right, out = (Matrix(array.reshape(-1), 0, array.shape[1], 1) for array in (a, b, c))
    numba_backend.compiled(multiply)(64, 64, 700, left, right, out, 0, panels, strip, matrix_unit.ALL_PAIRS, a[0, :0])
    chain = np.zeros_like(c)
    for k in range(700):  # a sum in the order of k, as vector units make it
        chain = (chain.astype(np.float64) + np.outer(a[:, k].astype(np.float64), b[k])).astype(np.float32)
    error, usual = (np.sqrt(((found - exact) ** 2).mean()) for found in (c, chain))
    assert error <= usual


@pytest.mark.long
@unit
def test_products_between_guard_zones_for_a_minute() -> None:
    random, text = np.random.default_rng(2), numba_backend.compiled(multiply)
    until, done = time.monotonic() + float(os.environ.get("GEARSHIFT_STRESS_SECONDS", "120")) / 2, 0
    while time.monotonic() < until:
        rows, columns, depth = (int(size) for size in np.exp(random.uniform(0, np.log(600), 3)))
        kind = ["", "a", "b"][done % 3]
        assert check(text, rows, columns, depth, bool(done % 2), done, whole=kind) < 5e-7, (rows, columns, depth, kind)
        done += 1
