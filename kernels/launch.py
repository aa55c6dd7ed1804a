"""How the CUDA kernels are launched: blocks of `BLOCK` threads, as many as the work fills, up to `MOST`.

The kernels stride over what one grid does not cover. A grid of 0 blocks means that there is nothing to do;
a backend does not launch it.
"""

from __future__ import annotations

from typing import Any

from .operation import Launch

BLOCK = 256  # the same as block.cuh
MOST = 1024
WARP = 32
COLUMN_BLOCK = (32, 8, 1)  # columns by row lanes: the same as bias_activation.cu


def grid(items: int, per_block: int) -> tuple[int, int, int]:
    """Blocks for `items` of which a block takes `per_block` at a time."""
    return min(MOST, -(-items // per_block)), 1, 1


def over_elements(count: int, *arguments: Any) -> Launch:
    """A thread an item."""
    return Launch(grid(count, BLOCK), (BLOCK, 1, 1), arguments)


def over_rows(count: int, *arguments: Any) -> Launch:
    """A warp a row."""
    return Launch(grid(count, BLOCK // WARP), (BLOCK, 1, 1), arguments)


def over_chunks(count: int, *arguments: Any) -> Launch:
    """A block a chunk."""
    return Launch(grid(count, 1), (BLOCK, 1, 1), arguments)


def over_columns(count: int, *arguments: Any) -> Launch:
    """A block for every 32 columns, with eight lanes of rows."""
    return Launch(grid(count, COLUMN_BLOCK[0]), COLUMN_BLOCK, arguments)


def one_block(*arguments: Any) -> Launch:
    """A single block."""
    return Launch((1, 1, 1), (BLOCK, 1, 1), arguments)


def over_arena(arrays: tuple[Any, ...], *flags: int) -> Launch:
    """An optimizer's update: a thread an element; `arrays` as update.py lists them."""
    bounds, _, table, _, _ = arrays[-5:]
    return over_elements(arrays[0].size, *arrays, bounds.shape[0], table.shape[1], *flags)
