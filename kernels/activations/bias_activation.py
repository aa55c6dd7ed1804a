"""Fused bias and activation, and their backward pass with the bias gradient.

Forward: y = activation(z + b). Backward: dz = dy · activation'(z + b), db = Σ over rows of dz.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...backends.machine import take
from ..elementary import sigmoid, tanh
from ..launch import column_tiles, each_tile, over_columns, parts
from ..operation import VALUES, Cuda, Launch, Operation, columns, rows
from .activation import (
    RELU,
    SIGMOID,
    TANH,
    activate,
    differentiate,
    relu,
    relu_backward,
    sigmoid_backward,
    tanh_backward,
)

CHUNK = 128  # rows that are summed separately before they are added to the total, for accurate float32 sums


def forward_reference(xp: Any, z: Any, bias: Any, y: Any, *, activation: int) -> None:
    """y (rows, n) = activation(z (rows, n) + bias (n,))."""
    y[...] = activate(xp, z + bias, activation)


def forward_loop(start: int, stop: int, z: Any, bias: Any, y: Any, activation: int) -> None:
    """`forward_reference` over rows `start` to `stop`."""
    zero = y.dtype.type(0)
    n = bias.shape[0]
    for row in range(start, stop):
        ys = y[row]
        take(z[row], ys)
        if activation == RELU:
            for j in range(n):
                ys[j] = relu(ys[j] + bias[j], zero)
        elif activation == TANH:
            for j in range(n):
                ys[j] = tanh(ys[j] + bias[j], y)
        elif activation == SIGMOID:
            for j in range(n):
                ys[j] = sigmoid(ys[j] + bias[j], y)
        else:
            for j in range(n):
                ys[j] += bias[j]


def backward_reference(
    xp: Any, dy: Any, y: Any, dz: Any, dbias: Any, partial: Any, arrived: Any, *, activation: int
) -> None:
    """dz (rows, n) = dy · activation'; dbias (n,) = Σ over rows of dz.

    `partial` (parts(n), n) is scratch; `arrived` (column_tiles(n),) uint32 is 0 before and after.
    """
    dz[...] = differentiate(xp, dy, y, activation)
    dbias[...] = xp.sum(dz, axis=0)


def backward_loop(
    start: int, stop: int, dy: Any, y: Any, dz: Any, dbias: Any, partial: Any, arrived: Any, activation: int
) -> None:
    """`backward_reference` over columns `start` to `stop`, rows in chunks of `CHUNK` in order."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    total, part = dbias[start:stop], partial[0, start:stop]
    n = stop - start
    for j in range(n):
        total[j] = zero
    for first in range(0, dy.shape[0], CHUNK):
        for j in range(n):
            part[j] = zero
        for row in range(first, min(first + CHUNK, dy.shape[0])):
            ys, out = y[row, start:stop], dz[row, start:stop]
            take(dy[row, start:stop], out)
            if activation == RELU:
                for j in range(n):
                    out[j] = relu_backward(out[j], ys[j], zero)
            elif activation == TANH:
                for j in range(n):
                    out[j] = tanh_backward(out[j], ys[j], one)
            elif activation == SIGMOID:
                for j in range(n):
                    out[j] = sigmoid_backward(out[j], ys[j], one)
            for j in range(n):
                part[j] += out[j]
        for j in range(n):
            total[j] += part[j]


def backward_launch(dy: Any, y: Any, dz: Any, dbias: Any, partial: Any, arrived: Any, *, activation: int) -> Launch:
    """One block per group of columns and part of the rows."""
    count, n = dy.shape
    launch = over_columns(count, n)
    part = -(-count // launch.grid[1])
    return replace(launch, arguments=(dy, y, dz, dbias, partial, arrived, count, n, part, activation))


def gradient(graph: Any, node: Any, dy: Any) -> tuple[Any, ...]:
    """Appends the backward operation."""
    z, bias = node.inputs
    (y,) = node.outputs
    dz, dbias = graph.like(z), graph.like(bias)
    n = bias.shape[0]
    partial, arrived = graph.fixed((parts(n), n), dbias.dtype), graph.fixed((column_tiles(n),), "uint32")
    graph.apply(BIAS_ACTIVATION_BACKWARD, (dy, y), (dz, dbias, partial, arrived), **node.attributes)
    return dz, dbias


BIAS_ACTIVATION = Operation(
    "bias_activation",
    forward_reference,
    forward_loop,
    rows,
    cuda=Cuda("bias_activation.cu", "bias_activation", each_tile, types={**VALUES, "BIAS": 1}),
    gradient=gradient,
    inplace=((0, 0),),
    flops=lambda z, bias, y, **_: 2 * z.size,
)
BIAS_ACTIVATION_BACKWARD = Operation(
    "bias_activation_backward",
    backward_reference,
    backward_loop,
    columns,
    cuda=Cuda("bias_activation.cu", "bias_activation_backward", backward_launch, types={**VALUES, "BIAS": 3}),
    inplace=((0, 0),),
    flops=lambda dy, *_, **__: 4 * dy.size,
    scratch=(4, 5),
)
