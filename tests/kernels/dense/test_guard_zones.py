"""Minutes of products of random shapes between guard zones: by the BLAS, and by the library's own on two threads."""

from __future__ import annotations

import os
import time
from functools import partial

import numpy as np
import pytest

from gearshift.backends import numba as numba_backend
from gearshift.backends import vectors as registers
from gearshift.backends.thread_pool import ThreadPool
from gearshift.kernels.arrays.matmul import reference as matmul
from gearshift.kernels.dense.parts import Matrix, Tools
from gearshift.kernels.dense.product import LEFT, SCRATCH, product

SECONDS = float(os.environ.get("GEARSHIFT_STRESS_SECONDS", "120"))
GUARD, MARK = 4096, 54321.0


class Guarded:
    """An array in the middle of a larger one, which must keep its mark."""

    def __init__(self, shape: tuple[int, int], dtype: str, offset: int) -> None:
        size = shape[0] * shape[1]
        self.flat = np.full(2 * GUARD + size + 64, MARK, dtype=dtype)
        self.start, self.stop = GUARD + offset, GUARD + offset + size
        self.array = self.flat[self.start : self.stop].reshape(shape)

    def intact(self) -> bool:
        """Whether nothing was written beside the array."""
        return bool((self.flat[: self.start] == MARK).all() and (self.flat[self.stop :] == MARK).all())


@np.errstate(invalid="ignore")  # the BLAS raises the flag where it multiplies what lies beside an operand
def close(found: np.ndarray, a: np.ndarray, b: np.ndarray) -> bool:
    """Whether found is a·b, by the sums of the terms' sizes."""
    error = np.abs(found - a.astype(np.float64) @ b.astype(np.float64))
    return bool((error <= (3e-6 if found.dtype == np.float32 else 1e-14) * (np.abs(a) @ np.abs(b) + 1e-30)).all())


@pytest.mark.long
def test_the_blas_writes_its_output_alone() -> None:
    random, until = np.random.default_rng(0), time.monotonic() + SECONDS / 2
    while time.monotonic() < until:
        m, k, n = (int(size) for size in np.exp(random.uniform(0, np.log(900), 3)))
        dtype, offset = str(random.choice(["float32", "float64"])), int(random.integers(0, 17))
        flip_a, flip_b = (int(flip) for flip in random.integers(0, 2, 2))
        a, b = random.normal(size=(m, k)).astype(dtype), random.normal(size=(k, n)).astype(dtype)
        out = Guarded((m, n), dtype, offset)
        stored = a.T.copy() if flip_a else a, b.T.copy() if flip_b else b
        matmul(np, *stored, out.array, transpose_a=flip_a, transpose_b=flip_b)
        assert out.intact(), (m, k, n, dtype, offset, flip_a, flip_b)
        assert close(out.array, a, b), (m, k, n, dtype, offset, flip_a, flip_b)


@pytest.mark.long
def test_own_products_on_two_threads_write_their_outputs_alone() -> None:
    compiled, pool = numba_backend.compiled(product), ThreadPool(2)
    random, until = np.random.default_rng(1), time.monotonic() + SECONDS / 2
    while time.monotonic() < until:
        works, checks = [], []
        dtype = str(random.choice(["float32", "float64"]))
        lanes = registers.lanes(dtype)
        for _ in range(2):
            rows, k = (int(size) for size in np.exp(random.uniform(0, np.log(600), 2)))
            vectors, offset = int(random.integers(1, 12)), int(random.integers(0, 17))
            copies = int(rows <= LEFT and random.random() < 1 / 2)
            a = random.normal(size=(rows, k)).astype(dtype)
            b = random.normal(size=(k, vectors * lanes)).astype(dtype)
            out, scratch = Guarded((rows, vectors * lanes), dtype, offset), Guarded((1, SCRATCH), dtype, 0)
            stored, am, ak = (a.T.copy(), 1, rows) if copies else (a, k, 1)
            left, right = Matrix(stored.reshape(-1), 0, am, ak), Matrix(b.reshape(-1), 0, b.shape[1], 1)
            target = Matrix(out.flat, out.start, vectors * lanes, 1)
            tools = Tools(scratch.array.reshape(-1), lanes, 8, np.zeros(0, np.int32))
            works.append(partial(compiled, rows, vectors, k, left, right, target, 0, copies, tools))
            checks.append((out, scratch, a, b))
        pool.run(lambda thread: works[thread](), 2)  # noqa: B023
        for out, scratch, a, b in checks:
            assert out.intact() and scratch.intact(), (a.shape, b.shape, dtype)
            assert close(out.array, a, b), (a.shape, b.shape, dtype)
