"""Standardises features: y = (x − mean) · scale, with scale = 1 / standard deviation."""

from __future__ import annotations

from typing import Any

from ..launch import each_tile
from ..operation import Cuda, Operation, rows


def reference(xp: Any, x: Any, mean: Any, scale: Any, y: Any) -> None:
    """y (rows, n) from x (rows, n), mean (n,) and scale (n,)."""
    y[...] = (x - mean) * scale


def loop(start: int, stop: int, x: Any, mean: Any, scale: Any, y: Any) -> None:
    """`reference` over rows `start` to `stop`."""
    for row in range(start, stop):
        xs, ys = x[row], y[row]
        for j in range(ys.shape[0]):
            ys[j] = (xs[j] - mean[j]) * scale[j]


def gradient(graph: Any, node: Any, dy: Any) -> tuple[Any, ...]:
    """dx = dy · scale, which is the same operation with a mean of 0; the statistics are not trained."""
    x, mean, scale = node.inputs
    dx, zero = graph.like(x), graph.fixed(mean.shape, mean.dtype)
    graph.apply(STANDARDIZE, (dy, zero, scale), (dx,))
    return dx, None, None


STANDARDIZE = Operation(
    "standardize",
    reference,
    loop,
    rows,
    cuda=Cuda("standardize.cu", "standardize", each_tile, types={"DATA": 0, "REAL": 1, "VALUE": 3}),
    gradient=gradient,
    inplace=((0, 0),),
    flops=lambda x, *_: 2 * x.size,
)
