"""How the CUDA kernels are launched: blocks of `BLOCK` threads, as many as the work fills, up to `MOST`.

The kernels stride over what one grid does not cover. A grid of 0 blocks means that there is nothing to do;
a backend does not launch it.
"""

from __future__ import annotations

from typing import Any

from .operation import Launch

BLOCK = 256  # the same as block.cuh
MOST = 8192  # some waves of blocks on the largest chips, so that the last one weighs little
WARP = 32
PACK = 4  # elements that a thread moves at once: the same as elements.cuh
COLUMN_BLOCK = (32, 8, 1)  # columns by row lanes: the same as bias_activation.cu
SPLIT_BLOCKS = 512  # blocks that a sum over rows is divided into at the most
SPLIT_ROWS = 64  # rows that each of them takes at the least


def grid(items: int, per_block: int) -> tuple[int, int, int]:
    """Blocks for `items` of which a block takes `per_block` at a time."""
    return min(MOST, -(-items // per_block)), 1, 1


def over_items(count: int, *arguments: Any) -> Launch:
    """A thread an item."""
    return Launch(grid(count, BLOCK), (BLOCK, 1, 1), arguments)


def over_elements(count: int, *arguments: Any) -> Launch:
    """A thread for every `PACK` elements."""
    return over_items(-(-count // PACK), *arguments)


def over_tiles(rows: int, n: int, *arguments: Any) -> Launch:
    """Tiles of threads over a matrix (rows, n): a line of threads a row, each thread `PACK` elements where n allows."""
    items = n // PACK if n % PACK == 0 else n
    line = min(WARP, 1 << max(items - 1, 0).bit_length())
    lines = BLOCK // line
    across, down = -(-items // line), -(-rows // lines)
    return Launch((min(MOST, down), max(1, min(across, MOST // max(down, 1))), 1), (line, lines, 1), arguments)


def over_rows(count: int, *arguments: Any) -> Launch:
    """A warp a row."""
    return over_items(count * WARP, *arguments)


def over_chunks(count: int, *arguments: Any) -> Launch:
    """A block a chunk."""
    return Launch(grid(count, 1), (BLOCK, 1, 1), arguments)


def parts(n: int) -> int:
    """Parts that a sum over rows for each of n columns may be divided into."""
    return max(1, SPLIT_BLOCKS // column_tiles(n))


def column_tiles(n: int) -> int:
    """Blocks beside each other that n columns take, at least 1."""
    return max(1, -(-n // COLUMN_BLOCK[0]))


def over_columns(rows: int, n: int, *arguments: Any) -> Launch:
    """Blocks of 32 columns and eight lanes of rows, divided along the rows: parts of at least `SPLIT_ROWS`."""
    down = max(1, min(parts(n), rows // SPLIT_ROWS))
    return Launch((*grid(n, COLUMN_BLOCK[0])[:1], down, 1), COLUMN_BLOCK, arguments)


def one_block(*arguments: Any) -> Launch:
    """A single block."""
    return Launch((1, 1, 1), (BLOCK, 1, 1), arguments)


def over_arena(arrays: tuple[Any, ...], *flags: int) -> Launch:
    """An optimizer's update of the whole arena; `arrays` as update.py lists them."""
    bounds, _, table, _, _ = arrays[-5:]
    p = arrays[0]
    return over_elements(p.size, *arrays, p, bounds.shape[0], table.shape[1], *flags)  # p as its own copy is none
