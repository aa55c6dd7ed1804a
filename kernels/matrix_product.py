"""A product of float32 matrices on a processor's matrix unit, for calls from inside a compiled loop.

`product.py` is the same for vector units, and says how places are given. Here a is split into bfloat16 terms once, to
`panels`, and then multiplied by as many matrices as there are. Their columns are split 32 at a time, each time those
that come next, between blocks: the vector units do that while the matrix unit works.
"""

from __future__ import annotations

from typing import Any

from ..backends.machine import prefetch
from ..backends.matrix_unit import DEEP, SIDE, STEP, split, tiles

WIDE = 2 * SIDE  # rows and columns of a block in the unit's registers
DEPTH = 128  # at a time: 32 columns of b, split, take 24 of a 48 KiB first-level cache (525 Gflop/s, with 256: 428)
COLUMNS = DEPTH // DEEP * 2 * STEP  # words of `panels` for 32 columns of b
LEFT_PANELS = 2 * COLUMNS  # where panels of a may begin
ALL = 2 * DEPTH // DEEP * SIDE  # rows of words that 32 columns may take
FEW = 64  # rows below which splitting b costs more than the unit gains


def words(rows: int, depth: int) -> int:
    """Words of `panels` for a (rows, depth), behind those for columns of b."""
    return -(-rows // WIDE) * 2 * -(-depth // DEEP) * STEP


def split_rows(rows: int, depth: int, a: Any, a0: int, am: int, panels: Any, left: int) -> None:
    """Splits a (rows, depth), whose rows are `am` apart, to panels from `left` on."""
    steps = (depth + DEEP - 1) // DEEP
    for first in range(0, rows, SIDE):
        at = left + first * steps * (STEP // SIDE)
        for row in range(first, first + SIDE):
            source, rest = a0 + row * am, depth if row < rows else 0
            for step in range(steps):
                k = step * DEEP
                place = at + step * STEP + row % SIDE * SIDE
                split(a, source + k, rest - k, 1.0, source + k + SIDE, rest - k - SIDE, 1.0, panels, place)


def split_columns(
    first: int,
    count: int,
    columns: int,
    depth: int,
    b: Any,
    b0: int,
    bk: int,
    panels: Any,
    at: int,
    factors: Any,
    factor: int,
) -> None:
    """Splits up to 32 columns of b, whose rows are `bk` apart: `count` of the panels' rows of words from `first` on.

    Row k is multiplied by factors[factor + k], where there are any; they go on for 32 behind the last.
    """
    half, scaled = (depth + DEEP - 1) // DEEP * SIDE, factors.shape[0] > 0
    for row in range(first, min(first + count, 2 * half)):
        j, r = (SIDE, row - half) if row >= half else (0, row)
        k = r // SIDE * DEEP + r % SIDE
        source, left = b0 + k * bk + j, columns - j
        place = at + row // SIDE * STEP + row % SIDE * SIDE
        low, high = left if k < depth else 0, left if k + SIDE < depth else 0
        factor0 = factors[factor + k] if scaled else 1.0
        factor1 = factors[factor + k + SIDE] if scaled else 1.0
        split(b, source, low, factor0, source + SIDE * bk, high, factor1, panels, place)
        prefetch(b, source + WIDE)  # the columns after these: no prefetcher follows rows so far apart
        prefetch(b, source + SIDE * bk + WIDE)


def matrix_product(
    rows: int,
    columns: int,
    depth: int,
    panels: Any,
    left: int,
    right: int,
    b: Any,
    b0: int,
    bk: int,
    c: Any,
    c0: int,
    cm: int,
    more: int,
    strip: Any,
    next_columns: int,
    next_depth: int,
    next_b: int,
    pairs: int,
    factors: Any,
    factor: int,
    next_factor: int,
) -> int:
    """c = a·b, or c += a·b where `more` is not 0, for an a no deeper than `DEPTH` that `split_rows` took to `left`.

    c's rows have room behind the last column, up to a multiple of 16. `strip` has room for 1024 elements.
    `pairs` is one of `matrix_unit`'s, and `factors` are what b's rows are multiplied by, as `split_columns` says.
    b's first 32 columns are already split, at `right`; at the place that is returned are, afterwards, the first of the
    b that is multiplied next. b may have no columns.
    """
    steps = (depth + DEEP - 1) // DEEP
    panel = steps * STEP
    if columns == 0:
        wide = min(WIDE, next_columns)
        split_columns(0, ALL, wide, next_depth, b, next_b, bk, panels, right, factors, next_factor)
    for j in range(0, columns, WIDE):
        width, following = min(WIDE, columns - j), columns - j - WIDE
        deep, source, scale = depth, b0 + j + WIDE, factor
        if following <= 0:
            following, deep, source, scale = next_columns, next_depth, next_b, next_factor
        following = min(WIDE, following)
        # rows of words to split at each block
        pieces = (2 * SIDE * ((deep + DEEP - 1) // DEEP) * WIDE + rows - 1) // rows
        for i in range(0, rows, WIDE):
            at = left + i // SIDE * panel
            block(min(WIDE, rows - i), width, steps, panels, at, right, c, c0 + i * cm + j, cm, more, strip, pairs)
            if following > 0:
                first, at = i // WIDE * pieces, COLUMNS - right
                split_columns(first, pieces, following, deep, b, source, bk, panels, at, factors, scale)
        right = COLUMNS - right
    return right


def block(
    rows: int,
    width: int,
    steps: int,
    panels: Any,
    left: int,
    right: int,
    c: Any,
    c0: int,
    cm: int,
    more: int,
    strip: Any,
    pairs: int,
) -> None:
    """Up to 32 rows and columns of a product; fewer rows by way of `strip`, since c has no more."""
    panel = steps * STEP
    if rows == WIDE:
        if width > SIDE:
            tiles(2, 2, panels, left, panel, panels, right, panel, c, c0, cm, steps, more, pairs)
        else:
            tiles(2, 1, panels, left, panel, panels, right, panel, c, c0, cm, steps, more, pairs)
        return
    whole = (width + SIDE - 1) // SIDE * SIDE
    if more:
        for r in range(rows):
            for j in range(whole):
                strip[r * WIDE + j] = c[c0 + r * cm + j]
    if rows > SIDE and width > SIDE:
        tiles(2, 2, panels, left, panel, panels, right, panel, strip, 0, WIDE, steps, more, pairs)
    elif rows > SIDE:
        tiles(2, 1, panels, left, panel, panels, right, panel, strip, 0, WIDE, steps, more, pairs)
    elif width > SIDE:
        tiles(1, 2, panels, left, panel, panels, right, panel, strip, 0, WIDE, steps, more, pairs)
    else:
        tiles(1, 1, panels, left, panel, panels, right, panel, strip, 0, WIDE, steps, more, pairs)
    for r in range(rows):
        for j in range(whole):
            c[c0 + r * cm + j] = strip[r * WIDE + j]
