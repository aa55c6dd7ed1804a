"""GELU with the tanh approximation (Hendrycks and Gimpel 2016): x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.

With u = tanh(…), the derivative is (1 + u) / 2 + x (1 − u²) √(2/π) (1 + 3 · 0.044715 x²) / 2. In float32 the loops
compute (1 + tanh v) / 2 as 1 / (1 + e⁻²ᵛ), as the formula does, which enables vectorisation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backends.machine import take
from ..launch import over_elements
from ..operation import BLOCK, VALUES, Cuda, Launch, Operation, elements, through
from ..single import exp
from ..tracing import xp as functions
from ..tracing.activation_loop import traced_elementwise

SLOPE = math.sqrt(2 / math.pi)
CUBE = 0.044715


def forward_reference(xp: Any, x: Any, y: Any) -> None:
    """y = GELU(x), any shape."""
    y[...] = 0.5 * x * (1 + xp.tanh(SLOPE * (x + CUBE * x * x * x)))


def forward_loop(start: int, stop: int, x: Any, y: Any) -> None:
    """`forward_reference` over elements `start` to `stop`."""
    real = y.dtype.type
    half, one, slope, cube = real(0.5), real(1), real(SLOPE), real(CUBE)
    if y.itemsize == 4:
        for first in range(start, stop, BLOCK):
            last = min(first + BLOCK, stop)
            xs, ys = x.reshape(-1)[first:last], y.reshape(-1)[first:last]
            take(xs, ys)
            for i in range(last - first):
                v = ys[i]
                e = exp(np.float32(real(-2) * slope * (v + cube * v * v * v)))
                ys[i] = v / (one + e)
    else:
        xs, ys = x.reshape(-1)[start:stop], y.reshape(-1)[start:stop]
        for i in range(stop - start):
            v = xs[i]
            ys[i] = half * v * (one + math.tanh(slope * (v + cube * v * v * v)))


def backward_reference(xp: Any, dy: Any, x: Any, dx: Any) -> None:
    """dx = dy · GELU'(x)."""
    u = xp.tanh(SLOPE * (x + CUBE * x * x * x))
    dx[...] = dy * 0.5 * (1 + u + x * (1 - u * u) * SLOPE * (1 + 3 * CUBE * x * x))


def backward_loop(start: int, stop: int, dy: Any, x: Any, dx: Any) -> None:
    """`backward_reference` over elements `start` to `stop`."""
    real = dx.dtype.type
    half, one, slope, cube, three = real(0.5), real(1), real(SLOPE), real(CUBE), real(3 * CUBE)
    if dx.itemsize == 4:
        for first in range(start, stop, BLOCK):
            last = min(first + BLOCK, stop)
            ds, xs = dy.reshape(-1)[first:last], x.reshape(-1)[first:last]
            out = dx.reshape(-1)[first:last]
            take(xs, out)
            for i in range(last - first):
                v = out[i]
                e = exp(np.float32(real(-2) * slope * (v + cube * v * v * v)))
                s = one / (one + e)
                out[i] = s * (one + real(2) * v * (e * s) * slope * (one + three * v * v))
            for i in range(last - first):
                out[i] *= ds[i]
    else:
        ds, xs, out = dy.reshape(-1)[start:stop], x.reshape(-1)[start:stop], dx.reshape(-1)[start:stop]
        for i in range(stop - start):
            v = xs[i]
            u = math.tanh(slope * (v + cube * v * v * v))
            out[i] = ds[i] * half * (one + u + v * (one - u * u) * slope * (one + three * v * v))


def formula(x: Any) -> Any:
    """`forward_reference`, with an exponent that does not overflow."""
    exponent = -2 * SLOPE * x * (1 + CUBE * (x * x))
    return x / (1 + functions.exp(functions.clip(exponent, max=80.0)))


def forward_launch(x: Any, y: Any) -> Launch:
    """One thread per four elements."""
    return over_elements(x.size, x, y, x.size, SLOPE, CUBE)


def backward_launch(dy: Any, x: Any, dx: Any) -> Launch:
    """One thread per four elements."""
    return over_elements(dy.size, dy, x, dx, dy.size, SLOPE, CUBE)


GELU_BACKWARD = Operation(
    "gelu_backward",
    backward_reference,
    backward_loop,
    elements,
    cuda=Cuda("gelu.cu", "gelu_backward", backward_launch, types=VALUES),
    inplace=((0, 1),),
    flops=lambda dy, *_: 18 * dy.size,
)
GELU = Operation(
    "gelu",
    forward_reference,
    forward_loop,
    elements,
    cuda=Cuda("gelu.cu", "gelu", forward_launch, types=VALUES),
    gradient=through(GELU_BACKWARD, lambda node: node.inputs),
    inplace=((0, 0),),
    flops=lambda x, y: 9 * x.size,
    formula=traced_elementwise(formula),
)
