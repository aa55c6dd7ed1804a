"""A matrix product in blocks of register tiles, for calls from inside a compiled loop.

Goto and van de Geijn (2008), without their packed copy of a: blocks of a here are small enough to stay in cache.
Arrays are flat; a place in one is an offset. c's columns are whole vectors, so its rows and those of b have room
behind the last column. An element's sum runs in the order of k, in one chain, however the work is divided.
"""

from __future__ import annotations

from typing import Any

from ..backends.machine import tile

DEPTH = 200  # rows of b that a block reads: with 3 vectors of 64 bytes, 38 of a 48 KiB first-level cache
VECTORS = 3
SCRATCH = 96 * DEPTH  # elements for copies: of b three vectors of at most 16 elements a row, of a 96 rows
NEITHER, RIGHT, LEFT = 0, 1, 2


def product(
    rows: int,
    vectors: int,
    depth: int,
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
    more: int,
    copies: int,
    scratch: Any,
    lanes: int,
    height: int,
) -> None:
    """c = a·b, or c += a·b where `more` is not 0, for c of `rows` rows and `vectors` vectors of `lanes` columns.

    a's element (row, k) is at a0 + row·am + k·ak, b's row k begins at b0 + k·bk, c's row at c0 + row·cm.
    `copies` says which operand is copied to `scratch` block by block: b (RIGHT), where many rows read it;
    a (LEFT), where am is 1 and the elements that a tile reads lie far apart; or neither.
    `height`, 4 or 8, is the number of rows of a tile.
    """
    if depth == 0:
        clear(rows, vectors * lanes, c, c0, cm, more)
        return
    blocks = (depth + DEPTH - 1) // DEPTH if rows > 2 * height or copies != NEITHER else 1
    block = (depth + blocks - 1) // blocks
    for k in range(0, depth, block):
        deep, add = min(block, depth - k), more + k
        left, left0, left8, leftm, leftk = a, a0 + k * ak, 8 * am, am, ak
        if copies == LEFT:
            copy_left(a, left0, ak, rows, deep, scratch)
            left, left0, left8, leftk = scratch, plain(0), 8 * deep, plain(8)
        column = 0
        while column < vectors:
            rest = vectors - column
            width = 2 if rest == 4 else min(rest, VECTORS)
            right, right0, bm = b, b0 + k * bk + column * lanes, bk
            if copies == RIGHT:
                copy_right(b, right0, bk, deep, width * lanes, scratch)
                right, right0, bm = scratch, 0, width * lanes
            at_c = c0 + column * lanes
            panel(rows, width, deep, left, left0, left8, leftm, leftk, right, right0, bm, c, at_c, cm, add, height)
            column += width


def clear(rows: int, width: int, c: Any, c0: int, cm: int, more: int) -> None:
    """What an empty sum gives: 0, or where `more` is not 0, c as it is."""
    if more == 0:
        for row in range(rows):
            target = c[c0 + row * cm : c0 + row * cm + width]
            for j in range(width):
                target[j] = 0


def plain(number: int) -> int:
    """The number, as one that the compiler does not know: it would compile what a constant is passed to once more."""
    return number + 0  # a sum is no constant


def copy_right(b: Any, b0: int, bk: int, depth: int, width: int, out: Any) -> None:
    """out (depth, width) = some columns of b."""
    for k in range(depth):
        source, target = b[b0 + k * bk : b0 + k * bk + width], out[k * width : k * width + width]
        for j in range(width):
            target[j] = source[j]


def copy_left(a: Any, a0: int, ak: int, rows: int, depth: int, out: Any) -> None:
    """out (rows / 8, depth, 8) = a, eight rows after eight."""
    for first in range(0, rows, 8):
        n = min(8, rows - first)
        for k in range(depth):
            source, target = a[a0 + k * ak + first :], out[first * depth + k * 8 :]
            if n == 8:
                for r in range(8):
                    target[r] = source[r]
            else:
                for r in range(n):
                    target[r] = source[r]


def panel(
    rows: int,
    width: int,
    depth: int,
    a: Any,
    a0: int,
    a8: int,
    am: int,
    ak: int,
    b: Any,
    b0: int,
    bk: int,
    c: Any,
    c0: int,
    cm: int,
    more: int,
    height: int,
) -> None:
    """`product` for one panel of `width` vectors, 1 to VECTORS; eight rows of a begin `a8` after the last eight."""
    row = 0
    while row < rows:
        left, at_a, at_c = rows - row, a0 + row // 8 * a8 + row % 8 * am, c0 + row * cm
        if left >= 8 and height >= 8:
            if width == 3:
                tile(8, 3, a, at_a, am, ak, b, b0, bk, c, at_c, cm, depth, more)
            elif width == 2:
                tile(8, 2, a, at_a, am, ak, b, b0, bk, c, at_c, cm, depth, more)
            else:
                tile(8, 1, a, at_a, am, ak, b, b0, bk, c, at_c, cm, depth, more)
            row += 8
        elif left >= 4:
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
