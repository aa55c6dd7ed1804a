"""Element-wise activation functions: identity, ReLU, tanh, sigmoid.

Each derivative is a function of the output y, so the input need not be stored: ReLU' = [y > 0],
tanh' = 1 − y², σ' = y(1 − y).
"""

from __future__ import annotations

from typing import Any

from ...backends.compiling import inlined
from ...backends.machine import take
from ..elementary import sigmoid, tanh
from ..launch import each_element
from ..operation import BLOCK, VALUES, Cuda, Operation, elements, through

IDENTITY, RELU, TANH, SIGMOID = 0, 1, 2, 3


def relu(z: Any, zero: Any) -> Any:
    """max(z, 0); NaN stays NaN. `zero` is added so that a loop in place stores every element (see `relu_backward`)."""
    return (zero if z < zero else z) + zero


def relu_backward(dy: Any, y: Any, zero: Any) -> Any:
    """dy where y > 0, else 0.

    `zero` is added, which changes −0 to 0, because LLVM would store only the elements that change. On some CPUs, such a
    store takes four times as long.
    """
    return (dy if y > zero else zero) + zero


def tanh_backward(dy: Any, y: Any, one: Any) -> Any:
    """dy (1 − y²)."""
    return dy * (one - y * y)


def sigmoid_backward(dy: Any, y: Any, one: Any) -> Any:
    """dy y (1 − y)."""
    return dy * y * (one - y)


def activate(xp: Any, z: Any, activation: int) -> Any:
    """The activation with number `activation` of the array z."""
    if activation == RELU:
        return xp.where(z <= 0, xp.zeros_like(z), z)  # at 0 the derivative is 0, as in the backward pass
    if activation == TANH:
        return xp.tanh(z)
    if activation == SIGMOID:
        negative = z < 0
        e = xp.exp(xp.where(negative, z, -z))  # e^-|z|, which cannot overflow; |z| itself has no derivative at 0
        return xp.where(negative, e / (1 + e), 1 / (1 + e))
    return z


def differentiate(xp: Any, dy: Any, y: Any, activation: int) -> Any:
    """dy times the derivative of the activation, given its output y."""
    if activation == RELU:
        return xp.where(y > 0, dy, xp.zeros_like(dy))
    if activation == TANH:
        return dy * (1 - y * y)
    if activation == SIGMOID:
        return dy * y * (1 - y)
    return dy


def forward_reference(xp: Any, x: Any, y: Any, *, activation: int) -> None:
    """y = activation(x), any shape."""
    y[...] = activate(xp, x, activation)


def forward_loop(start: int, stop: int, x: Any, y: Any, activation: int) -> None:
    """`forward_reference` over elements `start` to `stop`."""
    xs, ys = x.reshape(-1), y.reshape(-1)
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        part = ys[first:last]
        take(xs[first:last], part)
        forward_vector(part, part, activation)


@inlined
def forward_vector(x: Any, y: Any, activation: int) -> None:
    """`forward_reference` of vectors; to reshape an array takes longer than a short row.

    It is compiled into its callers, so that a caller that gives the same vector twice works in place by vector
    instructions.
    """
    zero = y.dtype.type(0)
    if activation == RELU:
        for i in range(y.shape[0]):
            y[i] = relu(x[i], zero)
    elif activation == TANH:
        for i in range(y.shape[0]):
            y[i] = tanh(x[i], y)
    elif activation == SIGMOID:
        for i in range(y.shape[0]):
            y[i] = sigmoid(x[i], y)
    else:
        for i in range(y.shape[0]):
            y[i] = x[i]


def backward_reference(xp: Any, dy: Any, y: Any, dx: Any, *, activation: int) -> None:
    """dx = dy · activation'(x), with y = activation(x)."""
    dx[...] = differentiate(xp, dy, y, activation)


def backward_loop(start: int, stop: int, dy: Any, y: Any, dx: Any, activation: int) -> None:
    """`backward_reference` over elements `start` to `stop`."""
    dys, ys, dxs = dy.reshape(-1), y.reshape(-1), dx.reshape(-1)
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        part = dxs[first:last]
        take(dys[first:last], part)
        backward_vector(part, ys[first:last], part, activation)


@inlined
def backward_vector(dy: Any, y: Any, dx: Any, activation: int) -> None:
    """`backward_reference` of vectors; see `forward_vector`."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    if activation == RELU:
        for i in range(y.shape[0]):
            dx[i] = relu_backward(dy[i], y[i], zero)
    elif activation == TANH:
        for i in range(y.shape[0]):
            dx[i] = tanh_backward(dy[i], y[i], one)
    elif activation == SIGMOID:
        for i in range(y.shape[0]):
            dx[i] = sigmoid_backward(dy[i], y[i], one)
    else:
        for i in range(y.shape[0]):
            dx[i] = dy[i]


ACTIVATION_BACKWARD = Operation(
    "activation_backward",
    backward_reference,
    backward_loop,
    elements,
    cuda=Cuda("activation.cu", "activation_backward", each_element, types=VALUES),
    inplace=((0, 0),),
    flops=lambda dy, y, dx, **_: 3 * dy.size,
)
ACTIVATION = Operation(
    "activation",
    forward_reference,
    forward_loop,
    elements,
    cuda=Cuda("activation.cu", "activation", each_element, types=VALUES),
    gradient=through(ACTIVATION_BACKWARD, lambda node: node.outputs),
    inplace=((0, 0),),
    flops=lambda x, y, **_: x.size,
)
