"""Inverted dropout (Srivastava et al. 2014): y = x / (1 − p) with probability 1 − p, else 0.

The mask is never stored: element i of the whole batch keeps its value where word i of the step's Philox stream reaches
the threshold p · 2³², so the backward pass is the same operation on the gradient, and a part of a batch has its part of
the mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends.machine import take
from ...backends.philox import DROPOUT as PURPOSE
from ...backends.philox import four_words, philox, words
from ..counters import FIRST, STEP
from ..launch import over_items
from ..operation import VALUES, Cuda, Launch, Operation


def reference(
    xp: Any, x: Any, key: Any, counters: Any, y: Any, *, threshold: int, scale: float, stream: int, width: int
) -> None:
    """y = x · scale where the element's word is at least `threshold`, else 0; any shape.

    `key` is uint32 (2,), `counters` int64 (COUNTERS,), `stream` the number of the dropout layer, `width` the
    elements of an example.
    """
    drawn = words(xp, key, x.size, PURPOSE, stream, int(counters[STEP]), int(counters[FIRST]) * width)
    kept = xp.reshape(drawn >= threshold, x.shape)
    y[...] = xp.where(kept, x * scale, xp.zeros_like(x))


def loop(
    start: int,
    stop: int,
    x: Any,
    key: Any,
    counters: Any,
    y: Any,
    threshold: int,
    scale: float,
    stream: int,
    width: int,
) -> None:
    """`reference` over blocks of four elements, `start` to `stop`."""
    real = y.dtype.type
    factor, zero = real(scale), real(0)
    xs, ys = x.reshape(-1), y.reshape(-1)
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    c1 = np.uint64(PURPOSE | stream << 8)
    c2, c3 = np.uint64(counters[STEP] & 0xFFFFFFFF), np.uint64(counters[STEP] >> 32)
    before, limit = counters[FIRST] * width, np.uint64(threshold)
    part = ys[4 * start : 4 * stop]
    take(xs[4 * start : 4 * stop], part)
    whole = part.shape[0] // 4 if before % 4 == 0 else 0
    blocks = part[: 4 * whole]
    for block in range(whole):
        i = 4 * block
        one, two, three, four = philox(np.uint64(before // 4 + start + block), c1, c2, c3, k0, k1)
        blocks[i] = blocks[i] * factor if one >= limit else zero
        blocks[i + 1] = blocks[i + 1] * factor if two >= limit else zero
        blocks[i + 2] = blocks[i + 2] * factor if three >= limit else zero
        blocks[i + 3] = blocks[i + 3] * factor if four >= limit else zero
    for first in range(4 * whole, part.shape[0], 4):
        drawn = four_words(np.uint64(before + 4 * start + first), c1, c2, c3, k0, k1)
        for lane in range(min(4, part.shape[0] - first)):
            part[first + lane] = part[first + lane] * factor if drawn[lane] >= limit else zero


def factors(
    first: int, count: int, key: Any, counters: Any, threshold: int, scale: float, stream: int, out: Any
) -> int:
    """What dropout multiplies elements `first` to `first` + `count` with, `scale` or 0, and their place in `out`.

    Words come in fours, so up to six more are written.
    """
    keep, zero, limit = out.dtype.type(scale), out.dtype.type(0), np.uint64(threshold)
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    c1 = np.uint64(PURPOSE | stream << 8)
    c2, c3 = np.uint64(counters[STEP] & 0xFFFFFFFF), np.uint64(counters[STEP] >> 32)
    before, block = first % 4, first // 4
    size = (before + count + 3) // 4 * 4
    written = out[:size]
    for number in range(size // 4):
        i = 4 * number
        one, two, three, four = philox(np.uint64(block + number), c1, c2, c3, k0, k1)
        written[i] = keep if one >= limit else zero
        written[i + 1] = keep if two >= limit else zero
        written[i + 2] = keep if three >= limit else zero
        written[i + 3] = keep if four >= limit else zero
    return before


def blocks(*arrays: Any) -> int:
    """Number of items of the loop: blocks of four elements."""
    return (arrays[0].size + 3) // 4


def launch(x: Any, key: Any, counters: Any, y: Any, *, threshold: int, scale: float, stream: int, width: int) -> Launch:
    """One thread per four elements."""
    return over_items(blocks(x), x, key, counters, y, x.size, threshold, scale, stream, width)


def gradient(graph: Any, node: Any, dy: Any) -> tuple[Any, ...]:
    """The same mask and scale on the gradient."""
    _, key, counters = node.inputs
    dx = graph.like(node.inputs[0])
    graph.apply(DROPOUT, (dy, key, counters), (dx,), **node.attributes)
    return dx, None, None


DROPOUT = Operation(
    "dropout",
    reference,
    loop,
    blocks,
    cuda=Cuda("dropout.cu", "dropout", launch, types=VALUES),
    gradient=gradient,
    inplace=((0, 0),),
    flops=lambda x, *_, **__: x.size,
)
