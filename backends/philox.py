"""Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

A word is a pure function of key and counter, so any element of any stream can be computed anywhere, in any order, and
a resumed run continues its streams from its step number. The key is the run's seed; the counter is (block of four
words, purpose and stream, step low, step high).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiling import inlined

INITIALIZE, SHUFFLE, DROPOUT, NOISE, PERTURBATION = 0, 1, 2, 3, 4  # purposes: independent streams

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


@inlined
def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> tuple[Any, Any, Any, Any]:
    """Four random words for counter (c0 … c3) and key (k0, k1).

    Inputs and words are uint64 values (scalars or arrays) below 2³². 64-bit arithmetic holds the full 32 × 32-bit
    products.
    """
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ k0, p1 & _LOW, (p0 >> _SHIFT) ^ c3 ^ k1, p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return c0, c1, c2, c3


def four_words(place: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> tuple[Any, Any, Any, Any]:
    """Words number `place` (uint64) to `place` + 3 of a stream; a block of them if `place` is a multiple of 4."""
    block, shift = place >> np.uint64(2), place & np.uint64(3)
    a = philox(block, c1, c2, c3, k0, k1)
    if shift == np.uint64(0):
        return a
    b = philox(block + np.uint64(1), c1, c2, c3, k0, k1)
    if shift == np.uint64(1):
        return a[1], a[2], a[3], b[0]
    if shift == np.uint64(2):
        return a[2], a[3], b[0], b[1]
    return a[3], b[0], b[1], b[2]


def key_of(seed: int) -> np.ndarray:
    """The key of a seed: uint32 (2,), low word first. Seeds are 0 to 2⁶⁴ − 1."""
    return np.array([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF], dtype=np.uint32)


def words(xp: Any, key: np.ndarray, count: int, purpose: int, stream: int, step: int, first: int = 0) -> Any:
    """`count` random words, uint64 (count,) below 2³², of one stream at one step, from word number `first` on.

    They are computed with the array module xp.
    """
    blocks = xp.arange(first // 4, (first + count + 3) // 4, dtype=xp.uint64)
    fixed = (purpose | stream << 8, step & 0xFFFFFFFF, step >> 32, int(key[0]), int(key[1]))
    return xp.reshape(xp.stack(philox(blocks, *map(np.uint64, fixed)), axis=1), (-1,))[first % 4 :][:count]


def uniform(key: np.ndarray, count: int, purpose: int, stream: int, step: int = 0) -> np.ndarray:
    """`count` float64 numbers in [0, 1), multiples of 2⁻²⁴, computed on the host."""
    return (words(np, key, count, purpose, stream, step) >> np.uint64(8)) * 2.0**-24


def normal(key: np.ndarray, count: int, purpose: int, stream: int, step: int = 0) -> np.ndarray:
    """`count` float64 standard normal numbers by Box and Muller's transform, computed on the host."""
    half = (count + 1) // 2
    u = uniform(key, 2 * half, purpose, stream, step)
    radius = np.sqrt(-2 * np.log(1 - u[:half]))
    angle = 2 * np.pi * u[half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


def row_words(xp: Any, key: np.ndarray, count: int, stream: int, epoch: int) -> Any:
    """One random 64-bit word a row, uint64 (count,), of an epoch; stream 0 orders rows and stream 1 chooses them."""
    pairs = words(xp, key, 2 * count, SHUFFLE, stream, epoch).reshape(-1, 2)
    return pairs[:, 0] << _SHIFT | pairs[:, 1]


def in_order(xp: Any, drawn: Any) -> Any:
    """The order of rows by their words: int64 (count,), a stable argsort."""
    if xp is np:
        order = np.argsort(drawn)  # several times as fast, with the same result if no two words are equal
        ordered = drawn[order]
        if (ordered[1:] != ordered[:-1]).all():
            return order
    return xp.argsort(drawn, kind="stable")


def chosen(xp: Any, drawn: Any) -> Any:
    """Row indices from words, with replacement: int64 (count,)."""
    return (drawn % xp.uint64(drawn.shape[0])).astype(xp.int64)


def permutation(xp: Any, key: np.ndarray, count: int, epoch: int) -> Any:
    """The order of an epoch: int64 (count,)."""
    return in_order(xp, row_words(xp, key, count, 0, epoch))


def draws(xp: Any, key: np.ndarray, count: int, epoch: int) -> Any:
    """Row indices drawn with replacement: int64 (count,)."""
    return chosen(xp, row_words(xp, key, count, 1, epoch))
