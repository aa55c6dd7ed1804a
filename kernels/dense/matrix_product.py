"""Product of float32 matrices on the CPU's matrix unit, called from compiled loops.

`product.py` is the equivalent for vector units. Here, a is split once into bfloat16 terms (`panels`), then multiplied
by several matrices b. Between blocks, the next 32 columns of b are split: the vector units do this while the matrix
unit works.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...backends.machine import prefetch
from ...backends.matrix_unit import DEEP, SIDE, STEP, split, tiles
from .parts import Matrix, Tools

WIDE = 2 * SIDE  # rows and columns of a block in the unit's registers
DEPTH = 128  # per step: 32 split columns of b take 24 of 48 KiB L1 cache (525 Gflop/s; with 256: 428)
COLUMNS = DEPTH // DEEP * 2 * STEP  # words of `panels` for 32 columns of b
LEFT_PANELS = 2 * COLUMNS  # first position of panels of a
ALL = 2 * DEPTH // DEEP * SIDE  # maximum rows of words for 32 columns
FEW = 64  # rows below which splitting b takes longer than the unit saves


class Right(NamedTuple):
    """The matrix b, which is multiplied a few `Columns` at a time.

    Attributes
    ----------
    values : the flat array that holds it.
    row : stride between rows.
    factors : factors of its rows, with 32 spare elements; empty for none.
    pairs : which pairs of terms are multiplied, an index into `matrix_unit.PAIRS`.
    """

    values: Any
    row: int
    factors: Any
    pairs: int


class Columns(NamedTuple):
    """Some columns of b: their number (may be 0), number of rows, offsets of the first element and factor."""

    count: int
    depth: int
    start: int
    factor: int


def words(rows: int, depth: int) -> int:
    """Number of words of `panels` for a (rows, depth), after those for columns of b."""
    return -(-rows // WIDE) * 2 * -(-depth // DEEP) * STEP


def split_rows(rows: int, depth: int, a: Matrix, panels: Any, left: int) -> None:
    """Splits a (rows, depth) into panels at `left`."""
    steps = (depth + DEEP - 1) // DEEP
    for first in range(0, rows, SIDE):
        at = left + first * steps * (STEP // SIDE)
        for row in range(first, first + SIDE):
            source, rest = a.start + row * a.row, depth if row < rows else 0
            for step in range(steps):
                k = step * DEEP
                place = at + step * STEP + row % SIDE * SIDE
                split(a.values, source + k, rest - k, 1.0, source + k + SIDE, rest - k - SIDE, 1.0, panels, place)


def split_columns(first: int, count: int, columns: Columns, b: Right, panels: Any, at: int) -> None:
    """Splits the first 32 of some columns of b: `count` of the panels' rows of words from `first` on."""
    half, scaled = (columns.depth + DEEP - 1) // DEEP * SIDE, b.factors.shape[0] > 0
    wide, depth = min(WIDE, columns.count), columns.depth
    for row in range(first, min(first + count, 2 * half)):
        j, r = (SIDE, row - half) if row >= half else (0, row)
        k = r // SIDE * DEEP + r % SIDE
        source, left = columns.start + k * b.row + j, wide - j
        place = at + row // SIDE * STEP + row % SIDE * SIDE
        low, high = left if k < depth else 0, left if k + SIDE < depth else 0
        factor0 = b.factors[columns.factor + k] if scaled else 1.0
        factor1 = b.factors[columns.factor + k + SIDE] if scaled else 1.0
        split(b.values, source, low, factor0, source + SIDE * b.row, high, factor1, panels, place)
        prefetch(b.values, source + WIDE)  # the next columns: hardware prefetchers do not follow such a large stride
        prefetch(b.values, source + SIDE * b.row + WIDE)


def matrix_product(
    rows: int,
    here: Columns,
    then: Columns,
    b: Right,
    c: Matrix,
    more: int,
    left: int,
    right: int,
    tools: Tools,
) -> int:
    """c = a·b, or c += a·b if `more` is not 0, for an a of depth up to `DEPTH` that `split_rows` wrote to `left`.

    c's rows have room behind the last column, up to a multiple of 16; the scratch has room for 1024 elements.
    Of b it takes the columns `here`, of which the first 32 are already split, at `right`. At the place that is returned
    are, afterwards, the first of the columns `then`, which are multiplied next; they are of the same array.
    """
    steps = (here.depth + DEEP - 1) // DEEP
    panel, panels = steps * STEP, tools.panels
    if here.count == 0:
        split_columns(0, ALL, then, b, panels, right)
    for j in range(0, here.count, WIDE):
        width, rest = min(WIDE, here.count - j), here.count - j - WIDE
        following = Columns(rest, here.depth, here.start + j + WIDE, here.factor) if rest > 0 else then
        # rows of words to split per block
        pieces = (2 * SIDE * ((following.depth + DEEP - 1) // DEEP) * WIDE + rows - 1) // rows
        for i in range(0, rows, WIDE):
            out = Matrix(c.values, c.start + i * c.row + j, c.row, 1)
            block(min(WIDE, rows - i), width, steps, left + i // SIDE * panel, right, out, more, b.pairs, tools)
            if following.count > 0:
                split_columns(i // WIDE * pieces, pieces, following, b, panels, COLUMNS - right)
        right = COLUMNS - right
    return right


def block(
    rows: int, width: int, steps: int, left: int, right: int, c: Matrix, more: int, pairs: int, tools: Tools
) -> None:
    """Up to 32 rows and columns of a product; fewer rows go through the scratch, since c has no more."""
    panel, panels, strip = steps * STEP, tools.panels, tools.scratch
    if rows == WIDE:
        if width > SIDE:
            tiles(2, 2, panels, left, panel, panels, right, panel, c.values, c.start, c.row, steps, more, pairs)
        else:
            tiles(2, 1, panels, left, panel, panels, right, panel, c.values, c.start, c.row, steps, more, pairs)
        return
    whole = (width + SIDE - 1) // SIDE * SIDE
    if more:
        for r in range(rows):
            for j in range(whole):
                strip[r * WIDE + j] = c.values[c.start + r * c.row + j]
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
            c.values[c.start + r * c.row + j] = strip[r * WIDE + j]
