"""Register tiles, blocked products and transposition, compiled and as their Python says, against float64."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gearshift as gs
from gearshift.backends import machine
from gearshift.backends import numba as numba_backend
from gearshift.backends import vectors as registers
from gearshift.kernels.dense.parts import Matrix, Tools
from gearshift.kernels.dense.product import LEFT, PACKED, SCRATCH, product

GUARD = 40
MARK = 12345.0


def guarded(values: np.ndarray) -> np.ndarray:
    """The values in a flat array between guard zones."""
    flat = np.full(values.size + 2 * GUARD, MARK, dtype=values.dtype)
    flat[GUARD:-GUARD] = values.reshape(-1)
    return flat


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(st.integers(1, 40), st.integers(PACKED, LEFT)),
    st.integers(1, 8),
    st.integers(0, 450),
    st.sampled_from(["float32", "float64"]),
    st.booleans(),
    st.sampled_from([4, 8]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@example(rows=8, vectors=3, depth=2000, dtype="float32", copies=False, height=8, more=False, seed=0)
@example(rows=LEFT, vectors=8, depth=2000, dtype="float32", copies=False, height=8, more=True, seed=0)
@example(rows=LEFT, vectors=5, depth=450, dtype="float64", copies=True, height=8, more=False, seed=0)
@example(rows=16, vectors=3, depth=2000, dtype="float32", copies=True, height=8, more=True, seed=0)
@example(rows=3, vectors=20, depth=300, dtype="float32", copies=False, height=8, more=True, seed=0)
@example(rows=9, vectors=5, depth=1, dtype="float32", copies=True, height=4, more=False, seed=0)
def test_products(rows, vectors, depth, dtype, copies, height, more, seed) -> None:
    random, lanes = np.random.default_rng(seed), registers.lanes(dtype)
    columns = vectors * lanes
    # a lies transposed where it is copied: rows one element apart
    a = random.normal(size=(depth, rows) if copies else (rows, depth)).astype(dtype)
    b = random.normal(size=(depth, columns)).astype(dtype)
    c = random.normal(size=(rows, columns)).astype(dtype)
    am, ak = (1, rows) if copies else (depth, 1)
    flat_a, flat_b, flat_c = guarded(a), guarded(b), guarded(c)
    scratch = np.full(SCRATCH + GUARD, MARK, dtype=dtype)
    left, right = Matrix(flat_a, GUARD, am, ak), Matrix(flat_b, GUARD, columns, 1)
    out, tools = Matrix(flat_c, GUARD, columns, 1), Tools(scratch, lanes, height, np.zeros(0, np.int32))
    numba_backend.compiled(product)(rows, vectors, depth, left, right, out, int(more), int(copies), tools)
    exact = (a.T if copies else a).astype(np.float64)
    expected = exact @ b.astype(np.float64) + (c if more else 0)
    terms = np.abs(exact) @ np.abs(b).astype(np.float64) + np.abs(c)
    error = np.abs(flat_c[GUARD:-GUARD].reshape(rows, columns) - expected) / terms
    assert error.max() < 1e-6 if dtype == "float32" else error.max() < 1e-15
    for zone in (flat_c[:GUARD], flat_c[-GUARD:], scratch[SCRATCH:]):
        assert (zone == MARK).all()
    assert (flat_a[GUARD:-GUARD] == a.reshape(-1)).all() and (flat_b[GUARD:-GUARD] == b.reshape(-1)).all()


@pytest.mark.parametrize("depth", [1, 7, 450])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_the_tiles(dtype: str, depth: int) -> None:
    """Many rows, whose b is packed, and each row alone; with one product of a sum, also before others are added."""
    random, lanes, count = np.random.default_rng(0), registers.lanes(dtype), PACKED + 12
    columns, multiply = 13 * lanes, numba_backend.compiled(product)
    a, b = random.normal(size=(count, depth)).astype(dtype), random.normal(size=(depth, columns)).astype(dtype)
    tools = Tools(np.zeros(SCRATCH, dtype), lanes, registers.tile_rows(), np.zeros(0, np.int32))

    def result(first: int, rows: int, *depths: int) -> bytes:
        c, k = np.zeros(rows * columns, dtype), 0
        for deep in depths:
            left, right = (
                Matrix(a.reshape(-1), first * depth + k, depth, 1),
                Matrix(b.reshape(-1), k * columns, columns, 1),
            )
            multiply(rows, 13, deep, left, right, Matrix(c, 0, columns, 1), k, 0, tools)
            k += deep
        return c.tobytes()

    whole = result(0, count, depth)
    assert b"".join(result(row, 1, depth) for row in range(count)) == whole
    assert (
        b"".join(result(row, PACKED // 2, depth) for row in (0, PACKED // 2)) == whole[: len(whole) * PACKED // count]
    )
    assert result(0, count, *([1, depth - 1] if depth > 1 else [1])) == whole


@pytest.mark.parametrize(("rows", "depth"), [(21, 13), (PACKED + 9, 13), (2, 13), (5, 1)])
def test_the_text_uncompiled(rows: int, depth: int) -> None:
    random, lanes = np.random.default_rng(0), registers.lanes(np.float64)
    columns = 12 * lanes
    for copies, height in ((0, 8), (0, 4), (1, 8)):
        a, b = random.normal(size=(rows, depth)), random.normal(size=(depth, columns))
        c = np.zeros((rows, columns))
        flat, am, ak = (a.T.copy().reshape(-1), 1, rows) if copies else (a.reshape(-1), depth, 1)
        left, right = Matrix(flat, 0, am, ak), Matrix(b.reshape(-1), 0, columns, 1)
        out, tools = Matrix(c.reshape(-1), 0, columns, 1), Tools(np.zeros(SCRATCH), lanes, height, np.zeros(0, int))
        product(rows, 12, depth, left, right, out, 0, copies, tools)
        np.testing.assert_allclose(c, a @ b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transposition(dtype: str) -> None:
    import numba

    n = registers.lanes(dtype)
    square = np.arange(n * n, dtype=dtype).reshape(n, n)
    for instruction in (registers.turn, machine.intrinsic(registers.turn)):  # pyright: ignore[reportArgumentType]
        out = np.zeros((n, n), dtype=dtype)
        if instruction is registers.turn:
            registers.turn(square.reshape(-1), 0, n, out.reshape(-1), 0, n)
        else:
            loop = numba.njit(lambda a, b, n: instruction(a, 0, n, b, 0, n))  # noqa: B023
            loop(square.reshape(-1), out.reshape(-1), n)
        assert (out == square.T).all()


@pytest.mark.skipif(sys.platform != "linux", reason="denormal numbers are left alone elsewhere")
def test_training_leaves_the_processors_treatment_of_denormals_alone() -> None:
    random = np.random.default_rng(0)
    data = gs.Dataset(random.normal(size=(64, 20)), random.integers(0, 3, 64))
    run = gs.Trainer(gs.Sequential(gs.Linear(20, 3)), gs.CrossEntropyLoss(), gs.Adam(), backend="numba")
    run.fit(data, epochs=1, batch_size=8, verbose=False)
    tiny = np.full(64, 1e-40, dtype=np.float32)
    assert (tiny * np.float32(1) != 0).all()
