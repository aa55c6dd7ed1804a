"""A random 64-bit word for each row of a data set, by which an epoch's order is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends.philox import SHUFFLE, philox, row_words
from ..launch import over_items
from ..operation import Cuda, Launch, Operation


def reference(xp: Any, out: Any, *, low: int, high: int, stream: int, epoch: int) -> None:
    """Writes the words of an epoch to out, uint64 (rows,); `low` and `high` are the words of the run's key."""
    out[...] = row_words(xp, np.array([low, high], dtype=np.uint32), out.shape[0], stream, epoch)


def loop(start: int, stop: int, out: Any, low: int, high: int, stream: int, epoch: int) -> None:
    """`reference` over pairs of rows, `start` to `stop`, which share a block of four words."""
    k0, k1, c1 = np.uint64(low), np.uint64(high), np.uint64(SHUFFLE | stream << 8)
    c2, c3 = np.uint64(epoch & 0xFFFFFFFF), np.uint64(epoch >> 32)
    half = np.uint64(32)
    for pair in range(start, stop):
        a, b, c, d = philox(np.uint64(pair), c1, c2, c3, k0, k1)
        out[2 * pair] = a << half | b
        if 2 * pair + 1 < out.shape[0]:
            out[2 * pair + 1] = c << half | d


def pairs(out: Any) -> int:
    """Number of items of the loop: pairs of rows."""
    return -(-out.size // 2)


def launch(out: Any, *, low: int, high: int, stream: int, epoch: int) -> Launch:
    """One thread per pair of rows."""
    return over_items(pairs(out), out, out.size, low, high, stream, epoch)


ROW_WORDS = Operation("row_words", reference, loop, pairs, cuda=Cuda("row_words.cu", "row_words", launch, types={}))
