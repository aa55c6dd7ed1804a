"""Products of float32 matrices on the CPU's matrix unit (Intel AMX), with float32 accuracy.

The unit multiplies bfloat16 numbers (8 significant bits) and accumulates in float32. A float32 number is the sum of
three bfloat16 terms, so a product has nine pairs of terms. The six largest are computed; the others contribute less
than 2^-24 of the product. Six passes are still faster than the vector units, which stay free for other work.
(Henry, Tang and Heinecke, "Leveraging the bfloat16 artificial intelligence datatype for higher-precision
computations", 2019.)

A panel is a split matrix of 16 rows or 16 columns. For every 32 elements of its depth it holds the three terms, each
as a tile of 16 rows of 16 words; a word holds two numbers whose positions are 16 apart.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

import numpy as np

from .machine import instruction
from .vectors import vector_bytes

SWITCH = "GEARSHIFT_MATRIX_UNIT"
SIDE, DEEP = 16, 32  # rows or columns of a panel, and its depth per step
TERMS = 3
TILE = SIDE * SIDE  # words
STEP = TERMS * TILE  # words of a panel per step
# Pairs of terms of a and b: one of the two changes, and the largest comes last. 8-bit integers have one term.
PAIRS = (
    ((2, 0), (1, 0), (1, 1), (0, 1), (0, 2), (0, 0)),
    ((0, 1), (0, 2), (0, 0)),
    ((2, 0), (1, 0), (0, 0)),
)
ALL_PAIRS, INTEGERS_LEFT, INTEGERS_RIGHT = range(3)


@cache
def available() -> bool:
    """Whether this process may use the matrix unit; on Linux, requests permission."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    if sys.platform != "linux" or not (features.get("amx-bf16") and features.get("amx-tile")):
        return False
    if os.environ.get(SWITCH) == "off" or vector_bytes() < 64:  # NUMBA_CPU_FEATURES
        return False
    import ctypes

    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    return ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data) == 0


def preferred() -> bool:
    """Whether the user wants it to be taken where nothing is measured."""
    return os.environ.get(SWITCH) == "on"


@instruction
def begin() -> None:
    """Configures the unit for this thread."""


@instruction
def end() -> None:
    """Releases the unit; context switches are slower for a thread that holds it."""


@instruction
def split(a: Any, a0: int, n0: int, factor0: float, a1: int, n1: int, factor1: float, out: Any, at: int) -> None:
    """Splits one row of a panel: up to 16 numbers from a0 and up to 16 from a1; the rest is 0.

    Float32 numbers are multiplied by the factors and split into three terms, each rounded to the nearest bfloat16.
    int16 numbers (up to 8 bits) have one term. The words are written to out[at + term · TILE].
    """
    rest, terms = np.zeros((2, SIDE), np.float32), 1 if a.dtype == np.int16 else TERMS
    for half, (start, count, factor) in enumerate(((a0, n0, factor0), (a1, n1, factor1))):
        count = max(0, min(count, SIDE))
        rest[half, :count] = a[start : start + count] * np.float32(1 if terms == 1 else factor)
    for term in range(terms):
        words = (rest.view(np.uint32) + np.uint32(0x8000 * (term < TERMS - 1))) & np.uint32(0xFFFF0000)
        rest = rest - words.view(np.float32)
        place = at + term * TILE
        out[place : place + SIDE] = ((words[0] >> np.uint32(16)) | words[1]).view(out.dtype)


@instruction
def tiles(
    rows: int,
    columns: int,
    a: Any,
    a0: int,
    am: int,
    b: Any,
    b0: int,
    bm: int,
    c: Any,
    c0: int,
    cm: int,
    steps: int,
    more: int,
    pairs: int,
) -> None:
    """A block of a product, in the unit's registers: c = a·b, or c += a·b if `more` is not 0.

    c has `rows` times 16 rows, `cm` apart, of `columns` times 16; both are literals, 1 or 2. a's panels begin at a0,
    `am` apart, b's at b0, `bm` apart, and are `steps` (at least 1) times 32 deep. `pairs` is an index into `PAIRS`.
    """
    for i in range(rows):
        for j in range(columns):
            place = c0 + i * SIDE * cm + j * SIDE
            out = np.lib.stride_tricks.as_strided(c[place:], (SIDE, SIDE), (cm * c.itemsize, c.itemsize))
            left, right = _rows(a, a0 + i * am, steps), _rows(b, b0 + j * bm, steps)
            left, right = _terms(left), _terms(right.swapaxes(2, 3))
            total = sum(left[one] @ right[other].T for one, other in PAIRS[pairs])
            out[...] = total + (out if more else 0)


def _rows(panel: Any, start: int, steps: int) -> Any:
    """The words of a panel, (steps, TERMS, 16, 16)."""
    return panel[start : start + steps * STEP].view(np.uint32).reshape(steps, TERMS, SIDE, SIDE)


def _terms(words: Any) -> Any:
    """The terms (TERMS, 16, depth), in float32, of words (steps, TERMS, 16, 16), with depth last."""
    both = np.stack([words << np.uint32(16), words & np.uint32(0xFFFF0000)], axis=3).view(np.float32)
    return both.transpose(1, 2, 0, 3, 4).reshape(TERMS, SIDE, -1)
