"""Concatenation of two arrays along columns, and the split; each is the backward pass of the other.

y (rows, m + n) = [a (rows, m), b (rows, n)].
"""

from __future__ import annotations

from typing import Any

from ..launch import over_elements
from ..operation import Cuda, Launch, Operation, rows


def join_reference(xp: Any, a: Any, b: Any, y: Any) -> None:
    """y (rows, m + n) = a (rows, m) and b (rows, n) side by side."""
    y[:, : a.shape[1]] = a
    y[:, a.shape[1] :] = b


def join_loop(start: int, stop: int, a: Any, b: Any, y: Any) -> None:
    """`join_reference` over rows `start` to `stop`."""
    m = a.shape[1]
    for row in range(start, stop):
        xs, zs, ys = a[row], b[row], y[row]
        for j in range(m):
            ys[j] = xs[j]
        for j in range(zs.shape[0]):
            ys[m + j] = zs[j]


def split_reference(xp: Any, y: Any, a: Any, b: Any) -> None:
    """a (rows, m) and b (rows, n) = the columns of y (rows, m + n)."""
    a[...] = y[:, : a.shape[1]]
    b[...] = y[:, a.shape[1] :]


def split_loop(start: int, stop: int, y: Any, a: Any, b: Any) -> None:
    """`split_reference` over rows `start` to `stop`."""
    m = a.shape[1]
    for row in range(start, stop):
        xs, zs, ys = a[row], b[row], y[row]
        for j in range(m):
            xs[j] = ys[j]
        for j in range(zs.shape[0]):
            zs[j] = ys[m + j]


def join_launch(a: Any, b: Any, y: Any) -> Launch:
    """One thread per element."""
    return over_elements(y.size, a, b, y, y.size, a.shape[1], b.shape[1])


def split_launch(y: Any, a: Any, b: Any) -> Launch:
    """One thread per element."""
    return over_elements(y.size, y, a, b, y.size, a.shape[1], b.shape[1])


def join_gradient(graph: Any, node: Any, dy: Any) -> tuple[Any, ...]:
    """Splits the gradient."""
    da, db = (graph.like(value) for value in node.inputs)
    graph.apply(SPLIT, (dy,), (da, db))
    return da, db


JOIN = Operation(
    "concatenate",
    join_reference,
    join_loop,
    rows,
    cuda=Cuda("concatenate.cu", "concatenate", join_launch, types={"VALUE": 0}),
    gradient=join_gradient,
)
SPLIT = Operation(
    "split", split_reference, split_loop, rows, cuda=Cuda("concatenate.cu", "split", split_launch, types={"VALUE": 0})
)
