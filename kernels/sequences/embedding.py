"""Token embedding: a row of the table per token, and the gradient of the table.

An index outside the table gives NaN, which stops the training and names the layer; memory outside the table is not
accessed. The gradient of a row is summed in the order of the tokens, without atomics, so the bits are always the
same.
"""

from __future__ import annotations

import math
from typing import Any

from ..launch import WARP, over_rows, over_tiles
from ..operation import Cuda, Launch, Operation, columns


def forward_reference(xp: Any, ids: Any, table: Any, y: Any) -> None:
    """y[i] = table[ids[i]]: ids (rows, tokens) holds integers as float32 or float64, y is (rows · tokens, n)."""
    count = table.shape[0]
    flat = xp.reshape(ids, (-1,))
    known = (flat >= 0) & (flat < count)
    places = xp.astype(xp.where(known, flat, xp.zeros_like(flat)), xp.int64)
    y[...] = xp.where(known[:, None], xp.take(table, places, axis=0), xp.asarray(math.nan, dtype=y.dtype))


def forward_loop(start: int, stop: int, ids: Any, table: Any, y: Any) -> None:
    """`forward_reference` over tokens `start` to `stop`."""
    flat = ids.reshape(-1)
    for token in range(start, stop):
        target = y[token]
        if flat[token] >= 0 and flat[token] < table.shape[0]:
            source = table[int(flat[token])]
            for j in range(target.shape[0]):
                target[j] = source[j]
        else:
            for j in range(target.shape[0]):
                target[j] = y.dtype.type(math.nan)


def backward_reference(xp: Any, dy: Any, ids: Any, dtable: Any) -> None:
    """dtable[v] = Σ over tokens i with ids[i] = v of dy[i]."""
    flat = xp.reshape(ids, (-1,))
    for place in range(dtable.shape[0]):
        dtable[place, :] = xp.sum(xp.where((flat == place)[:, None], dy, xp.zeros_like(dy)), axis=0)


def backward_loop(start: int, stop: int, dy: Any, ids: Any, dtable: Any) -> None:
    """`backward_reference` over columns `start` to `stop`, tokens in order."""
    flat = ids.reshape(-1)
    count = dtable.shape[0]
    for place in range(count):
        target = dtable[place][start:stop]
        for j in range(stop - start):
            target[j] = dy.dtype.type(0)
    for token in range(dy.shape[0]):
        if flat[token] >= 0 and flat[token] < count:
            target, source = dtable[int(flat[token])][start:stop], dy[token][start:stop]
            for j in range(stop - start):
                target[j] += source[j]


def tokens(ids: Any, *arrays: Any) -> int:
    """Number of items of the forward loop."""
    return ids.size


def forward_launch(ids: Any, table: Any, y: Any) -> Launch:
    """A line of threads per token."""
    return over_tiles(*y.shape, ids, table, y, *y.shape, table.shape[0])


def backward_launch(dy: Any, ids: Any, dtable: Any) -> Launch:
    """One warp per 32 columns of a row of the table."""
    count, n = dtable.shape
    return over_rows(count * -(-n // WARP), dy, ids, dtable, dy.shape[0], n, count)


def traffic(ids: Any, table: Any, y: Any) -> tuple[int, int]:
    """Counts one row of the table per token."""
    return ids.nbytes + y.nbytes, y.nbytes


def gradient(graph: Any, node: Any, dy: Any) -> tuple[Any, ...]:
    """Appends the backward operation; token indices have no gradient."""
    ids, table = node.inputs
    dtable = graph.like(table)
    graph.apply(EMBEDDING_BACKWARD, (dy, ids), (dtable,))
    return None, dtable


EMBEDDING = Operation(
    "embedding",
    forward_reference,
    forward_loop,
    tokens,
    cuda=Cuda("embedding.cu", "embedding", forward_launch, types={"REAL": 0, "VALUE": 1}),
    gradient=gradient,
    traffic=traffic,
)
EMBEDDING_BACKWARD = Operation(
    "embedding_backward",
    backward_reference,
    backward_loop,
    columns,
    cuda=Cuda("embedding.cu", "embedding_backward", backward_launch, types={"REAL": 1, "VALUE": 0}),
    flops=lambda dy, *_: dy.size,
)
