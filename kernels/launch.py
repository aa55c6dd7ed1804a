"""Launch configurations of the CUDA kernels: enough blocks of `BLOCK` threads for the work, up to `MOST`.

Kernels use grid-stride loops. A grid of 0 blocks means that there is no work; a backend does not launch it.
"""

from __future__ import annotations

from typing import Any

from .operation import Launch

BLOCK = 256  # the same as in block.cuh
MOST = 8192  # several waves of blocks on the largest GPUs, so that a partial last wave costs little
WARP = 32
PACK = 4  # elements that a thread loads at once; the same as in elements.cuh
COLUMN_BLOCK = (32, 8, 1)  # columns × row lanes, the same as in bias_activation.cu
SPLIT_BLOCKS = 512  # maximum blocks of a sum over rows
SPLIT_ROWS = 64  # minimum rows of each of these blocks


def grid(items: int, per_block: int) -> tuple[int, int, int]:
    """The grid for `items` items with `per_block` items per block."""
    return min(MOST, -(-items // per_block)), 1, 1


def over_items(count: int, *arguments: Any) -> Launch:
    """One thread per item."""
    return Launch(grid(count, BLOCK), (BLOCK, 1, 1), arguments)


def over_elements(count: int, *arguments: Any) -> Launch:
    """One thread per `PACK` elements."""
    return over_items(-(-count // PACK), *arguments)


def over_tiles(rows: int, n: int, *arguments: Any) -> Launch:
    """Thread tiles over a matrix (rows, n): a line of threads per row, with `PACK` elements per thread if n allows."""
    items = n // PACK if n % PACK == 0 else n
    line = min(WARP, 1 << max(items - 1, 0).bit_length())
    lines = BLOCK // line
    across, down = -(-items // line), -(-rows // lines)
    return Launch((min(MOST, down), max(1, min(across, MOST // max(down, 1))), 1), (line, lines, 1), arguments)


def over_rows(count: int, *arguments: Any) -> Launch:
    """One warp per row."""
    return over_items(count * WARP, *arguments)


def over_chunks(count: int, *arguments: Any) -> Launch:
    """One block per chunk."""
    return Launch(grid(count, 1), (BLOCK, 1, 1), arguments)


def parts(n: int) -> int:
    """Maximum number of parts of a sum over rows for each of n columns."""
    return max(1, SPLIT_BLOCKS // column_tiles(n))


def column_tiles(n: int) -> int:
    """Number of blocks across n columns, at least 1."""
    return max(1, -(-n // COLUMN_BLOCK[0]))


def over_columns(rows: int, n: int, *arguments: Any) -> Launch:
    """Blocks of 32 columns and eight row lanes; rows are divided into parts of at least `SPLIT_ROWS`."""
    down = max(1, min(parts(n), rows // SPLIT_ROWS))
    return Launch((*grid(n, COLUMN_BLOCK[0])[:1], down, 1), COLUMN_BLOCK, arguments)


def one_block(*arguments: Any) -> Launch:
    """A single block."""
    return Launch((1, 1, 1), (BLOCK, 1, 1), arguments)


def each_element(first: Any, *others: Any, **attribute: Any) -> Launch:
    """Of a kernel over the elements of its first array: its arguments are the arrays, that size and the attribute."""
    return over_elements(first.size, first, *others, first.size, *attribute.values())


def each_tile(first: Any, *others: Any, **attribute: Any) -> Launch:
    """Of a kernel over tiles of its first array (rows, n): its arguments are the arrays, rows, n and the attribute."""
    return over_tiles(*first.shape, first, *others, *first.shape, *attribute.values())


def each_row(first: Any, *others: Any, **attribute: Any) -> Launch:
    """Of a kernel over rows of its first array (rows, n): its arguments are the arrays, rows, n and the attribute."""
    count, n = first.shape
    return over_rows(count if n else 0, first, *others, count, n, *attribute.values())


def over_arena(*arrays: Any, **attribute: Any) -> Launch:
    """An optimizer's update of the complete arena; `arrays` are those in update.py."""
    bounds, _, table, _, _ = arrays[-5:]
    p = arrays[0]  # which also stands for no copy
    return over_elements(p.size, *arrays, p, bounds.shape[0], table.shape[1], *attribute.values())
