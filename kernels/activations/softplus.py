"""Softplus (Dugas et al. 2001): log(1 + eˣ), written max(x, 0) + log(1 + e^−|x|) so that nothing overflows.

Its derivative is the sigmoid σ(x) = 1 − e^−y with y the output, so the input need not be stored.
"""

from __future__ import annotations

from typing import Any

from ...backends.machine import take
from ..elementary import exp, expm1, log1p
from ..launch import each_element
from ..operation import BLOCK, VALUES, Cuda, Operation, elements, through
from ..tracing import xp as functions
from ..tracing.activation_loop import traced_elementwise


def forward_reference(xp: Any, x: Any, y: Any) -> None:
    """y = log(1 + eˣ), any shape."""
    negative = x < 0
    e = xp.exp(xp.where(negative, x, -x))  # e^-|x|, by pieces: |x| itself has no derivative at 0
    y[...] = xp.where(negative, xp.zeros_like(x), x) + xp.log1p(e)


def forward_loop(start: int, stop: int, x: Any, y: Any) -> None:
    """`forward_reference` over elements `start` to `stop`."""
    zero = y.dtype.type(0)
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        ys = y.reshape(-1)[first:last]
        take(x.reshape(-1)[first:last], ys)
        for i in range(last - first):
            v = ys[i]
            ys[i] = (zero if v < zero else v) + log1p(exp(-abs(v), y), y)


def backward_reference(xp: Any, dy: Any, y: Any, dx: Any) -> None:
    """dx = dy · (1 − e^−y)."""
    dx[...] = -dy * xp.expm1(-y)


def backward_loop(start: int, stop: int, dy: Any, y: Any, dx: Any) -> None:
    """`backward_reference` over elements `start` to `stop`."""
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        ys, out = y.reshape(-1)[first:last], dx.reshape(-1)[first:last]
        take(dy.reshape(-1)[first:last], out)
        for i in range(last - first):
            out[i] = -out[i] * expm1(-ys[i], dx)


SOFTPLUS_BACKWARD = Operation(
    "softplus_backward",
    backward_reference,
    backward_loop,
    elements,
    cuda=Cuda("softplus.cu", "softplus_backward", each_element, types=VALUES),
    inplace=((0, 0),),
    flops=lambda dy, *_: 3 * dy.size,
)
SOFTPLUS = Operation(
    "softplus",
    forward_reference,
    forward_loop,
    elements,
    cuda=Cuda("softplus.cu", "softplus", each_element, types=VALUES),
    gradient=through(SOFTPLUS_BACKWARD, lambda node: node.outputs),
    inplace=((0, 0),),
    flops=lambda x, y: 4 * x.size,
    formula=traced_elementwise(functions.softplus),
)
