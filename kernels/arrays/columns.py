"""Slices columns of an array, optionally to another dtype, and its backward pass."""

from __future__ import annotations

from typing import Any

from ..launch import over_items
from ..operation import Cuda, Launch, Operation, rows, through


def forward_reference(xp: Any, x: Any, y: Any, *, first: int) -> None:
    """y (rows, n) = columns `first` to `first` + n of x (rows, m), in y's dtype."""
    y[...] = xp.astype(x[:, first : first + y.shape[1]], y.dtype)


def forward_loop(start: int, stop: int, x: Any, y: Any, first: int) -> None:
    """`forward_reference` over rows `start` to `stop`."""
    for row in range(start, stop):
        xs, ys = x[row], y[row]
        for j in range(ys.shape[0]):
            ys[j] = xs[first + j]


def backward_reference(xp: Any, dy: Any, dx: Any, *, first: int) -> None:
    """dx (rows, m) = dy (rows, n) in columns `first` to `first` + n, 0 elsewhere."""
    dx[...] = xp.zeros_like(dx)
    dx[:, first : first + dy.shape[1]] = dy


def backward_loop(start: int, stop: int, dy: Any, dx: Any, first: int) -> None:
    """`backward_reference` over rows `start` to `stop`."""
    zero = dx.dtype.type(0)
    for row in range(start, stop):
        ds, out = dy[row], dx[row]
        for j in range(out.shape[0]):
            out[j] = zero
        for j in range(ds.shape[0]):
            out[first + j] = ds[j]


def forward_launch(x: Any, y: Any, *, first: int) -> Launch:
    """One thread per element."""
    return over_items(y.size, x, y, y.size, x.shape[1], y.shape[1], first)


def backward_launch(dy: Any, dx: Any, *, first: int) -> Launch:
    """One thread per element."""
    return over_items(dx.size, dy, dx, dx.size, dx.shape[1], dy.shape[1], first)


COLUMNS_BACKWARD = Operation(
    "columns_backward",
    backward_reference,
    backward_loop,
    rows,
    cuda=Cuda("columns_backward.cu", "columns_backward", backward_launch, types={"VALUE": 0}),
)
COLUMNS = Operation(
    "columns",
    forward_reference,
    forward_loop,
    rows,
    cuda=Cuda("columns.cu", "columns", forward_launch, types={"VALUE": 0, "RESULT": 1}),
    gradient=through(COLUMNS_BACKWARD, lambda node: ()),
    traffic=lambda x, y, **_: (y.size * x.itemsize, y.nbytes),
)
