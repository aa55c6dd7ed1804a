"""Normal random numbers from a step's Philox stream, by the Box–Muller transform (1958).

Each pair of words gives two numbers: with u, v in (0, 1], √(−2 log u) cos 2πv and √(−2 log u) sin 2πv. The numbers
are a function of seed, layer, step and place in the whole batch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backends.philox import NOISE as PURPOSE
from ...backends.philox import philox, words
from ..counters import FIRST, STEP
from ..launch import over_items
from ..operation import Cuda, Launch, Operation

UNIT = 2.0**-24


def reference(xp: Any, key: Any, counters: Any, out: Any, *, deviation: float, stream: int, width: int) -> None:
    """out = deviation · ε with independent standard normal ε, any shape.

    `key` is uint32 (2,), `counters` int64 (COUNTERS,), `stream` the number of the layer that draws, `width` the
    elements of an example.
    """
    first = int(counters[FIRST]) * width
    even, count = first // 2 * 2, out.size + first % 2  # elements from the first pair of words on
    drawn = words(xp, key, (count + 1) // 2 * 2, PURPOSE, stream, int(counters[STEP]), even)
    u = xp.reshape(((drawn >> np.uint64(8)) + np.uint64(1)) * UNIT, (-1, 2))
    radius, angle = deviation * xp.sqrt(-2 * xp.log(u[:, 0])), 2 * math.pi * u[:, 1]
    pairs = xp.stack([radius * xp.cos(angle), radius * xp.sin(angle)], axis=1)
    out[...] = xp.reshape(xp.reshape(pairs, (-1,))[first % 2 :][: out.size], out.shape)


def loop(start: int, stop: int, key: Any, counters: Any, out: Any, deviation: float, stream: int, width: int) -> None:
    """`reference` over blocks of four elements, `start` to `stop`."""
    flat = out.reshape(-1)
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    c1 = np.uint64(PURPOSE | stream << 8)
    c2, c3 = np.uint64(counters[STEP] & 0xFFFFFFFF), np.uint64(counters[STEP] >> 32)
    before = counters[FIRST] * width
    odd = before % 2  # then the block's first element is the second one of a pair
    for block in range(start, stop):
        behind = min(4 * block + 4, flat.shape[0])
        for first in range(4 * block - odd, behind, 2):
            place = np.uint64(before + first)
            drawn = philox(place >> np.uint64(2), c1, c2, c3, k0, k1)
            upper = place & np.uint64(2)
            u = (((drawn[2] if upper else drawn[0]) >> np.uint64(8)) + np.uint64(1)) * UNIT
            v = (((drawn[3] if upper else drawn[1]) >> np.uint64(8)) + np.uint64(1)) * UNIT
            radius, angle = deviation * math.sqrt(-2 * math.log(u)), 2 * math.pi * v
            if first >= 4 * block:
                flat[first] = radius * math.cos(angle)
            if first + 1 < behind:
                flat[first + 1] = radius * math.sin(angle)


def blocks(*arrays: Any) -> int:
    """Number of items of the loop: blocks of four elements."""
    return (arrays[2].size + 3) // 4


def launch(key: Any, counters: Any, out: Any, *, deviation: float, stream: int, width: int) -> Launch:
    """One thread per four elements."""
    return over_items(blocks(key, counters, out), key, counters, out, out.size, deviation, stream, width)


NORMAL = Operation(
    "normal",
    reference,
    loop,
    blocks,
    cuda=Cuda("normal.cu", "normal", launch, types={"VALUE": 2, "REAL": 2}),
    flops=lambda key, counters, out, **_: 8 * out.size,
)
