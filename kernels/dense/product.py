"""Blocked matrix product with register tiles, called from compiled loops.

The algorithm is that of Goto and van de Geijn (2008) without packing a, because the blocks of a fit into cache. The
tiles that read b first also pack it. c's columns are full vectors, so its rows and those of b have spare elements
behind the last column. The sum of an element always runs in the order of k, however the work is divided.
"""

from __future__ import annotations

from typing import Any

from ...backends.vectors import packing_tile, tile
from .parts import Matrix, Tools

DEPTH = 200  # rows of b per block: with 3 vectors of 64 bytes, 38 of 48 KiB L1 cache
VECTORS = 3
FEW = 4  # rows below which no tile of several rows is full
PACKED = 24  # rows from which b is packed
LEFT = 96  # rows of a that can be copied
PANEL = LEFT * DEPTH  # in the scratch: b's packed columns, behind the copy of a
SCRATCH = PANEL + VECTORS * 16 * DEPTH  # elements; a vector has up to 16


def product(
    rows: int, vectors: int, depth: int, a: Matrix, b: Matrix, c: Matrix, more: int, copies: int, tools: Tools
) -> None:
    """c = a·b, or c += a·b if `more` is not 0, for c of `rows` rows and `vectors` vectors of columns.

    The columns of b and c are contiguous. If `copies` is not 0, up to `LEFT` rows of a are copied to the scratch block
    by block: this is faster if they are contiguous, but the elements that a tile reads are far apart. The columns of b
    are packed there if many rows read them: the cache keeps few rows whose distance is a power of two. A sum of one
    product and a few rows need no blocks.
    """
    if depth == 0:
        clear(rows, vectors * tools.lanes, c, more)
        return
    if depth == 1 and more == 0:
        outer(rows, vectors * tools.lanes, a, b, c)
        return
    if rows < FEW:
        one_by_one(rows, vectors, depth, a, b, c, more, tools.lanes)
        return
    blocks = (depth + DEPTH - 1) // DEPTH if rows > 2 * tools.height or copies else 1
    block = (depth + blocks - 1) // blocks
    for k in range(0, depth, block):
        deep, add = min(block, depth - k), more + k
        left, eight = Matrix(a.values, a.start + k * a.column, a.row, a.column), 8 * a.row
        if copies:
            copy_left(left, rows, deep, tools.scratch)
            left, eight = Matrix(tools.scratch, 0, a.row, 8), 8 * deep
        column = 0
        while column < vectors:
            rest, first = vectors - column, 0
            width = 2 if rest == 4 else min(rest, VECTORS)
            right = Matrix(b.values, b.start + k * b.row + column * tools.lanes, b.row, 1)
            out = Matrix(c.values, c.start + column * tools.lanes, c.row, 1)
            if rows >= PACKED:
                pack(width, deep, left, right, out, add, tools.scratch)
                right, first = Matrix(tools.scratch, PANEL, width * tools.lanes, 1), FEW
            panel(first, rows, width, deep, left, eight, right, out, add, tools.height)
            column += width


def clear(rows: int, width: int, c: Matrix, more: int) -> None:
    """The result of an empty sum: c = 0, or unchanged if `more` is not 0."""
    if more == 0:
        for row in range(rows):
            target = c.values[c.start + row * c.row : c.start + row * c.row + width]
            for j in range(width):
                target[j] = 0


def outer(rows: int, width: int, a: Matrix, b: Matrix, c: Matrix) -> None:
    """c = the outer product of a column and a row; of a row that ends before a full vector, as far as it goes."""
    zero, source = b.values.dtype.type(0), b.values[b.start : b.start + width]
    width = min(width, source.size)
    for row in range(rows):
        factor, at = a.values[a.start + row * a.row], c.start + row * c.row
        target = c.values[at : at + width]
        for j in range(width):
            target[j] = factor * source[j] + zero


def one_by_one(
    rows: int, vectors: int, depth: int, left: Matrix, right: Matrix, out: Matrix, more: int, lanes: int
) -> None:
    """`product` for a few rows: tiles of one row are wider, so that they need not wait for their sums."""
    a, ak = left.values, left.column
    b, bk = right.values, right.row
    c = out.values
    for row in range(rows):
        at_a, at_b, at_c, rest = left.start + row * left.row, right.start, out.start + row * out.row, vectors
        while rest > 0:
            if rest >= 8:
                tile(1, 8, a, at_a, 0, ak, b, at_b, bk, c, at_c, 0, depth, more)
                width = 8
            elif rest >= 3:
                tile(1, 3, a, at_a, 0, ak, b, at_b, bk, c, at_c, 0, depth, more)
                width = 3
            else:
                tile(1, 1, a, at_a, 0, ak, b, at_b, bk, c, at_c, 0, depth, more)
                width = 1
            rest -= width
            at_b += width * lanes
            at_c += width * lanes


def copy_left(a: Matrix, rows: int, depth: int, out: Any) -> None:
    """out (rows / 8, depth, 8) = a, in groups of eight rows."""
    for first in range(0, rows, 8):
        n = min(8, rows - first)
        for k in range(depth):
            source, target = a.values[a.start + k * a.column + first :], out[first * depth + k * 8 :]
            if n == 8:  # all are read before one is written, so that a vector holds them
                r0, r1, r2, r3 = source[0], source[1], source[2], source[3]
                r4, r5, r6, r7 = source[4], source[5], source[6], source[7]
                target[0], target[1], target[2], target[3] = r0, r1, r2, r3
                target[4], target[5], target[6], target[7] = r4, r5, r6, r7
            else:
                for r in range(n):
                    target[r] = source[r]


def pack(width: int, depth: int, left: Matrix, right: Matrix, out: Matrix, more: int, packed: Any) -> None:
    """The first `FEW` rows of a panel, whose tile packs the columns of b that it reads."""
    a, a0, am, ak = left.values, left.start, left.row, left.column
    b, b0, bk = right.values, right.start, right.row
    c, c0, cm = out.values, out.start, out.row
    if width == 3:
        packing_tile(4, 3, a, a0, am, ak, b, b0, bk, c, c0, cm, depth, more, packed, PANEL)
    elif width == 2:
        packing_tile(4, 2, a, a0, am, ak, b, b0, bk, c, c0, cm, depth, more, packed, PANEL)
    else:
        packing_tile(4, 1, a, a0, am, ak, b, b0, bk, c, c0, cm, depth, more, packed, PANEL)


def panel(
    first: int,
    rows: int,
    width: int,
    depth: int,
    left: Matrix,
    eight: int,
    right: Matrix,
    out: Matrix,
    more: int,
    height: int,
) -> None:
    """`product` for one panel of `width` vectors, 1 to VECTORS, from row `first` on.

    Groups of eight rows of a have the stride `eight`.
    """
    a, am, ak = left.values, left.row, left.column
    b, b0, bk = right.values, right.start, right.row
    c, cm = out.values, out.row
    row = first
    while row < rows:
        rest, at_a, at_c = rows - row, left.start + row // 8 * eight + row % 8 * am, out.start + row * cm
        if rest >= 8 and height >= 8 and row % 8 == 0:
            if width == 3:
                tile(8, 3, a, at_a, am, ak, b, b0, bk, c, at_c, cm, depth, more)
            elif width == 2:
                tile(8, 2, a, at_a, am, ak, b, b0, bk, c, at_c, cm, depth, more)
            else:
                tile(8, 1, a, at_a, am, ak, b, b0, bk, c, at_c, cm, depth, more)
            row += 8
        elif rest >= 4:
            if width == 3:
                tile(4, 3, a, at_a, am, ak, b, b0, bk, c, at_c, cm, depth, more)
            elif width == 2:
                tile(4, 2, a, at_a, am, ak, b, b0, bk, c, at_c, cm, depth, more)
            else:
                tile(4, 1, a, at_a, am, ak, b, b0, bk, c, at_c, cm, depth, more)
            row += 4
        else:
            if width == 3:
                tile(1, 3, a, at_a, am, ak, b, b0, bk, c, at_c, cm, depth, more)
            elif width == 2:
                tile(1, 2, a, at_a, am, ak, b, b0, bk, c, at_c, cm, depth, more)
            else:
                tile(1, 1, a, at_a, am, ak, b, b0, bk, c, at_c, cm, depth, more)
            row += 1
