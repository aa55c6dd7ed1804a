"""The compiled matrix product of stacked matrices, against NumPy's in float64."""

from __future__ import annotations

import numpy as np
import pytest

from gearshift.backends import host, vectors
from gearshift.backends.numba import compiled
from gearshift.kernels.arrays import matmul_loop

SHAPES = (
    *((1, 2, 3, 5), (1, 64, 200, 48), (1, 130, 70, 10), (1, 600, 9, 33), (5, 33, 17, 45), (3, 1, 1, 1)),
    *((1, 40, 230, 200), (1, 9, 21, 301), (1, 1, 30, 700)),  # more columns than rows: the columns are divided
)


def array(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    made = host.aligned_zeros(shape, dtype)
    made[...] = np.random.default_rng(0).normal(size=shape)
    return made


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("shape", [*SHAPES, (1, 0, 3, 40)])
def test_bits_do_not_depend_on_the_chunks(shape: tuple[int, ...], transposed: int) -> None:
    matrices, m, k, n = shape
    loop, lanes = compiled(matmul_loop.loop), vectors.lanes("float32")
    a, b = array((matrices, *((k, m) if transposed else (m, k))), "float32"), array((matrices, k, n), "float32")
    found = set()
    for chunks in (1, 2, 5):
        scratch = host.aligned_zeros((chunks, matmul_loop.scratch_size(lanes)), "float32")
        c = host.aligned_zeros((matrices, m, n), "float32")
        loop(0, chunks, a, b, c, scratch, k, n, lanes, vectors.tile_rows(), transposed)
        found.add(c.tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("chunks", [1, 3])
def test_against_numpy(dtype: str, chunks: int) -> None:
    loop, transpose = compiled(matmul_loop.loop), compiled(matmul_loop.transpose_loop)
    lanes, height = vectors.lanes(dtype), vectors.tile_rows()
    for matrices, m, k, n in SHAPES:
        scratch = host.aligned_zeros((chunks, matmul_loop.scratch_size(lanes)), dtype)
        for left, right in ((0, 0), (0, 1), (1, 0)):
            a, b = array((matrices, *((k, m) if left else (m, k))), dtype), array((matrices, k, n), dtype)
            out = host.aligned_zeros(matrices * m * n + 64, dtype)
            out[matrices * m * n :] = 7
            given = b
            if right:
                stored = np.ascontiguousarray(b.swapaxes(1, 2))
                given = host.aligned_zeros(matmul_loop.transposed_shape(stored, lanes), dtype)
                transpose(0, matrices * -(-k // lanes), stored, given, lanes)
                assert (given[:, :, :n] == b).all()
            c = out[: matrices * m * n].reshape(matrices, m, n)
            for chunk in range(chunks):
                loop(chunk, chunk + 1, a, given, c, scratch, k, given.shape[2], lanes, height, left)
            exact = np.matmul((a.swapaxes(1, 2) if left else a).astype(np.float64), b.astype(np.float64))
            error = np.abs(c - exact).max() / np.abs(exact).max()
            assert error < (2e-6 if dtype == "float32" else 1e-14), (matrices, m, k, n, left, right)
            assert (out[matrices * m * n :] == 7).all(), "nothing is written behind the result"
