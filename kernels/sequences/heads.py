"""Splits token features into attention heads, one matrix (tokens, width) per head, and merges them again."""

from __future__ import annotations

from typing import Any

from ..launch import over_items
from ..operation import Cuda, Launch, Operation, rows, rows_of_second, through


def split_reference(xp: Any, x: Any, y: Any) -> None:
    """y[s · heads + h, t, d] = x[s · length + t, h · width + d]: x (sequences · length, heads · width).

    y is (sequences · heads, length, width).
    """
    _, length, width = y.shape
    heads = x.shape[1] // width if width else 1
    parts = xp.reshape(x, (x.shape[0] // length, length, heads, width))
    y[...] = xp.reshape(xp.permute_dims(parts, (0, 2, 1, 3)), y.shape)


def split_loop(start: int, stop: int, x: Any, y: Any) -> None:
    """`split_reference` over rows `start` to `stop` of x."""
    length, width = y.shape[1], y.shape[2]
    for row in range(start, stop):
        for h in range(x.shape[1] // width if width else 0):
            matrix = row // length * (x.shape[1] // width) + h
            for d in range(width):
                y[matrix, row % length, d] = x[row, h * width + d]


def merge_reference(xp: Any, y: Any, x: Any) -> None:
    """The inverse of `split_reference`: x from y."""
    _, length, width = y.shape
    heads = x.shape[1] // width if width else 1
    parts = xp.reshape(y, (x.shape[0] // length, heads, length, width))
    x[...] = xp.reshape(xp.permute_dims(parts, (0, 2, 1, 3)), x.shape)


def merge_loop(start: int, stop: int, y: Any, x: Any) -> None:
    """`merge_reference` over rows `start` to `stop` of x."""
    length, width = y.shape[1], y.shape[2]
    for row in range(start, stop):
        for h in range(x.shape[1] // width if width else 0):
            matrix = row // length * (x.shape[1] // width) + h
            for d in range(width):
                x[row, h * width + d] = y[matrix, row % length, d]


def split_launch(x: Any, y: Any) -> Launch:
    """One thread per element."""
    return over_items(x.size, x, y, x.size, x.shape[1], y.shape[1], y.shape[2])


def merge_launch(y: Any, x: Any) -> Launch:
    """One thread per element."""
    return over_items(x.size, y, x, x.size, x.shape[1], y.shape[1], y.shape[2])


def merge_gradient(graph: Any, node: Any, dx: Any) -> tuple[Any, ...]:
    """Splits the gradient."""
    dy = graph.like(node.inputs[0])
    graph.apply(SPLIT_HEADS, (dx,), (dy,))
    return (dy,)


MERGE_HEADS = Operation(
    "merge_heads",
    merge_reference,
    merge_loop,
    rows_of_second,
    cuda=Cuda("heads.cu", "merge_heads", merge_launch, types={"VALUE": 0}),
    gradient=merge_gradient,
)
SPLIT_HEADS = Operation(
    "split_heads",
    split_reference,
    split_loop,
    rows,
    cuda=Cuda("heads.cu", "split_heads", split_launch, types={"VALUE": 0}),
    gradient=through(MERGE_HEADS, lambda node: ()),
)
