"""Blocks of matrices in vector registers: a tile of a product, and a transposed square."""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

import numpy as np

from .machine import instruction

ROWS, VECTORS = 8, 3  # of the largest register tile: 24 accumulators, for 32 vector registers


@cache
def vector_bytes() -> int:
    """Bytes of the vector registers that Numba compiles for: 64, 32 or 16."""
    from llvmlite import binding
    from numba.core import config

    features = {name for name, there in binding.get_host_cpu_features().items() if there}
    given = config.CPU_FEATURES  # pyright: ignore[reportAttributeAccessIssue]
    if given is not None:  # NUMBA_CPU_FEATURES
        features = {name.strip()[1:] for name in given.split(",") if name.strip().startswith("+")}
    return 64 if "avx512f" in features else 32 if "avx" in features else 16


def cpu() -> str:
    """LLVM's name of the CPU that Numba compiles for, such as "znver4"; virtual CPUs often have no other exact name."""
    from llvmlite import binding
    from numba.core import config

    return config.CPU_NAME or binding.get_host_cpu_name()  # pyright: ignore[reportAttributeAccessIssue]


@cache
def tile_rows() -> int:
    """Rows of the largest tile whose accumulators fit into the CPU's registers: AVX-512 and NEON have 32, others 16."""
    many = vector_bytes() == 64 or platform.machine().lower() in ("aarch64", "arm64")
    return ROWS if many else ROWS // 2


@instruction
def tile(
    rows: int,
    vectors: int,
    a: Any,
    a0: int,
    am: int,
    ak: int,
    b: Any,
    b0: int,
    bk: int,
    c: Any,
    c0: int,
    cm: int,
    depth: int,
    more: int,
) -> None:
    """A tile of a matrix product, computed in registers: c = a·b, or c += a·b if `more` is not 0.

    c has `rows` rows with stride `cm`, each of `vectors` full vector registers. a's element (row, k) is at
    a0 + row·am + k·ak, and b's row k begins at b0 + k·bk. Each element is one sequence of multiply-adds in the order
    of k, fused if the CPU can do that, so its bits do not depend on the tile's shape. Rows are stored from the first to
    the last, so they may overlap. `rows` and `vectors` are literals; `depth` is at least 1.
    """
    width = vectors * lanes(c.dtype)
    left = np.lib.stride_tricks.as_strided(a[a0:], (rows, depth), (am * a.itemsize, ak * a.itemsize))
    right = np.lib.stride_tricks.as_strided(b[b0:], (depth, width), (bk * b.itemsize, b.itemsize))
    out = np.lib.stride_tricks.as_strided(c[c0:], (rows, width), (cm * c.itemsize, c.itemsize))
    out[...] = left @ right + (out if more else 0)


@instruction
def packing_tile(
    rows: int,
    vectors: int,
    a: Any,
    a0: int,
    am: int,
    ak: int,
    b: Any,
    b0: int,
    bk: int,
    c: Any,
    c0: int,
    cm: int,
    depth: int,
    more: int,
    packed: Any,
    p0: int,
) -> None:
    """`tile`, which also stores the rows of b that it reads, one behind the other, from p0 of `packed` on.

    That takes next to no time, and later tiles read rows that lie together. It prefetches as many columns behind them.
    """
    tile(rows, vectors, a, a0, am, ak, b, b0, bk, c, c0, cm, depth, more)
    width = vectors * lanes(c.dtype)
    right = np.lib.stride_tricks.as_strided(b[b0:], (depth, width), (bk * b.itemsize, b.itemsize))
    packed[p0 : p0 + depth * width] = right.reshape(-1)


def lanes(dtype: Any) -> int:
    """Number of elements of a vector register."""
    return vector_bytes() // np.dtype(dtype).itemsize


@instruction
def turn(a: Any, a0: int, am: int, b: Any, b0: int, bm: int) -> None:
    """Transposes a square block with the width of a vector register: b's row i, at b0 + i·bm, is a's column i."""
    n = lanes(a.dtype)
    size = a.itemsize
    source = np.lib.stride_tricks.as_strided(a[a0:], (n, n), (am * size, size))
    np.lib.stride_tricks.as_strided(b[b0:], (n, n), (bm * size, size))[...] = source.T.copy()
