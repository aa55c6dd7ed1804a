"""Maxout (Goodfellow et al. 2013): the maximum of k neighbours; the gradient goes to the first maximum."""

from __future__ import annotations

from typing import Any

from ..launch import over_items
from ..operation import VALUES, Cuda, Launch, Operation, rows, through


def forward_reference(xp: Any, x: Any, y: Any) -> None:
    """y (rows, n) = the maximum of each k inputs of x (rows, n · k)."""
    count, n = y.shape
    if count and n:
        y[...] = xp.max(xp.reshape(x, (count, n, x.shape[1] // n)), axis=2)


def forward_loop(start: int, stop: int, x: Any, y: Any) -> None:
    """`forward_reference` over rows `start` to `stop`."""
    n = y.shape[1]
    for row in range(start, stop):
        xs, ys = x[row], y[row]
        for i in range(n):
            k = xs.shape[0] // n
            best = xs[i * k]
            for j in range(i * k + 1, i * k + k):
                v = xs[j]
                if v > best or v != v:  # NaN stays NaN
                    best = v
            ys[i] = best


def backward_reference(xp: Any, dy: Any, x: Any, dx: Any) -> None:
    """dx (rows, n · k) = dy (rows, n) where x is the first maximum, else 0."""
    count, n = dy.shape
    if count and n:
        k = x.shape[1] // n
        first = xp.argmax(xp.reshape(x, (count, n, k)), axis=2)[:, :, None] == xp.arange(k)[None, None, :]
        zero = xp.zeros_like(x)
        dx[...] = xp.where(xp.reshape(first, x.shape), xp.reshape(xp.repeat(dy, k, axis=1), x.shape), zero)


def backward_loop(start: int, stop: int, dy: Any, x: Any, dx: Any) -> None:
    """`backward_reference` over rows `start` to `stop`."""
    n = dy.shape[1]
    zero = dx.dtype.type(0)
    for row in range(start, stop):
        ds, xs, out = dy[row], x[row], dx[row]
        for i in range(n):
            k = xs.shape[0] // n
            best = i * k
            out[best] = zero
            for j in range(i * k + 1, i * k + k):
                out[j] = zero
                if xs[j] > xs[best] or (xs[j] != xs[j] and xs[best] == xs[best]):
                    best = j
            out[best] = ds[i]


def forward_launch(x: Any, y: Any) -> Launch:
    """One thread per output."""
    return over_items(y.size, x, y, y.size, x.shape[1] // max(y.shape[1], 1))


def backward_launch(dy: Any, x: Any, dx: Any) -> Launch:
    """One thread per output."""
    return over_items(dy.size, dy, x, dx, dy.size, x.shape[1] // max(dy.shape[1], 1))


MAXOUT_BACKWARD = Operation(
    "maxout_backward",
    backward_reference,
    backward_loop,
    rows,
    cuda=Cuda("maxout.cu", "maxout_backward", backward_launch, types=VALUES),
    flops=lambda dy, x, *_: x.size,
)
MAXOUT = Operation(
    "maxout",
    forward_reference,
    forward_loop,
    rows,
    cuda=Cuda("maxout.cu", "maxout", forward_launch, types=VALUES),
    gradient=through(MAXOUT_BACKWARD, lambda node: node.inputs),
    flops=lambda x, *_: x.size,
)
