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
                split(a, source + k, rest - k, source + k + SIDE, rest - k - SIDE, panels, place)


def split_columns(
    first: int, count: int, columns: int, depth: int, b: Any, b0: int, bk: int, panels: Any, at: int
) -> None:
    """Splits up to 32 columns of b, whose rows are `bk` apart: `count` of the panels' rows of words from `first` on."""
    half = (depth + DEEP - 1) // DEEP * SIDE
    for row in range(first, min(first + count, 2 * half)):
        j, r = (SIDE, row - half) if row >= half else (0, row)
        k = r // SIDE * DEEP + r % SIDE
        source, left = b0 + k * bk + j, columns - j
        place = at + row // SIDE * STEP + row % SIDE * SIDE
        split(b, source, left if k < depth else 0, source + SIDE * bk, left if k + SIDE < depth else 0, panels, place)
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
) -> int:
    """c = a·b, or c += a·b where `more` is not 0, for an a no deeper than `DEPTH` that `split_rows` took to `left`.

    c's rows have room behind the last column, up to a multiple of 16. `strip` has room for 1024 elements.
    b's first 32 columns are already split, at `right`; at the place that is returned are, afterwards, the first of the
    b that is multiplied next.
    """
    steps = (depth + DEEP - 1) // DEEP
    panel = steps * STEP
    for j in range(0, columns, WIDE):
        width, following, deep, source = min(WIDE, columns - j), columns - j - WIDE, depth, b0 + j + WIDE
        if following <= 0:
            following, deep, source = next_columns, next_depth, next_b
        # rows of words to split at each block
        pieces = (2 * SIDE * ((deep + DEEP - 1) // DEEP) * WIDE + rows - 1) // rows
        for i in range(0, rows, WIDE):
            at = left + i // SIDE * panel
            block(min(WIDE, rows - i), width, steps, panels, at, right, c, c0 + i * cm + j, cm, more, strip)
            if following > 0:
                at = COLUMNS - right
                split_columns(i // WIDE * pieces, pieces, min(WIDE, following), deep, b, source, bk, panels, at)
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
) -> None:
    """Up to 32 rows and columns of a product; fewer rows by way of `strip`, since c has no more."""
    panel = steps * STEP
    if rows == WIDE:
        if width > SIDE:
            tiles(2, 2, panels, left, panel, panels, right, panel, c, c0, cm, steps, more)
        else:
            tiles(2, 1, panels, left, panel, panels, right, panel, c, c0, cm, steps, more)
        return
    whole = (width + SIDE - 1) // SIDE * SIDE
    if more:
        for r in range(rows):
            for j in range(whole):
                strip[r * WIDE + j] = c[c0 + r * cm + j]
    if rows > SIDE and width > SIDE:
        tiles(2, 2, panels, left, panel, panels, right, panel, strip, 0, WIDE, steps, more)
    elif rows > SIDE:
        tiles(2, 1, panels, left, panel, panels, right, panel, strip, 0, WIDE, steps, more)
    elif width > SIDE:
        tiles(1, 2, panels, left, panel, panels, right, panel, strip, 0, WIDE, steps, more)
    else:
        tiles(1, 1, panels, left, panel, panels, right, panel, strip, 0, WIDE, steps, more)
    for r in range(rows):
        for j in range(whole):
            c[c0 + r * cm + j] = strip[r * WIDE + j]
