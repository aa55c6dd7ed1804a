"""Contractive penalty: the squared Frobenius norm of the derivative of a code by its input (Rifai et al. 2011).

For h = f(x·W + b), ∂hⱼ / ∂xᵢ = f'ⱼ Wᵢⱼ, so the norm is Σⱼ f'ⱼ² cⱼ with cⱼ = Σᵢ Wᵢⱼ². f' is a function of h, as in
activation.py; s = f'².
"""

from __future__ import annotations

from typing import Any

from ..activations.activation import RELU, SIGMOID, TANH
from ..launch import COLUMN_BLOCK, grid, over_rows
from ..operation import Cuda, Launch, Operation, rows


def slope(xp: Any, h: Any, activation: int) -> tuple[Any, Any]:
    """s = f'² and ds / dh, given the activation's output h."""
    if activation == RELU:
        return xp.where(h > 0, xp.zeros_like(h) + 1, xp.zeros_like(h)), xp.zeros_like(h)
    if activation == TANH:
        d = 1 - h * h
        return d * d, -4 * h * d
    if activation == SIGMOID:
        d = h * (1 - h)
        return d * d, 2 * d * (1 - 2 * h)
    return xp.zeros_like(h) + 1, xp.zeros_like(h)


def slope_of(h: Any, activation: int, zero: Any, one: Any) -> Any:
    """s of one element."""
    if activation == RELU:
        return one if h > zero else zero
    if activation == TANH:
        d = one - h * h
        return d * d
    if activation == SIGMOID:
        d = h * (one - h)
        return d * d
    return one


def change_of(h: Any, activation: int, zero: Any, one: Any) -> Any:
    """ds / dh of one element."""
    if activation == TANH:
        return -(one + one + one + one) * h * (one - h * h)
    if activation == SIGMOID:
        return (one + one) * h * (one - h) * (one - (one + one) * h)
    return zero


def forward_reference(xp: Any, h: Any, c: Any, term: Any, *, activation: int) -> None:
    """term (rows, 1) = Σⱼ s(h) c, for h (rows, n) and c (n,)."""
    term[:, 0] = xp.sum(slope(xp, h, activation)[0] * c, axis=1)


def forward_loop(start: int, stop: int, h: Any, c: Any, term: Any, activation: int) -> None:
    """`forward_reference` over rows `start` to `stop`."""
    zero, one = h.dtype.type(0), h.dtype.type(1)
    for row in range(start, stop):
        total = 0.0
        for j in range(c.shape[0]):
            total += slope_of(h[row, j], activation, zero, one) * c[j]
        term[row, 0] = total


def backward_reference(xp: Any, dterm: Any, h: Any, c: Any, dh: Any, dc: Any, *, activation: int) -> None:
    """dh (rows, n) = dterm (rows, 1) · c · ds / dh; dc (n,) = Σ over rows of dterm · s."""
    s, change = slope(xp, h, activation)
    dh[...] = dterm * c * change
    dc[...] = xp.sum(dterm * s, axis=0)


def backward_loop(start: int, stop: int, dterm: Any, h: Any, c: Any, dh: Any, dc: Any, activation: int) -> None:
    """`backward_reference` over columns `start` to `stop`."""
    zero, one = h.dtype.type(0), h.dtype.type(1)
    for j in range(start, stop):
        total = 0.0
        for row in range(h.shape[0]):
            d, value = dterm[row, 0], h[row, j]
            total += d * slope_of(value, activation, zero, one)
            dh[row, j] = d * c[j] * change_of(value, activation, zero, one)
        dc[j] = total


def units(*arrays: Any) -> int:
    """Number of items of the backward loop: the code's units."""
    return arrays[2].shape[0]


def forward_launch(h: Any, c: Any, term: Any, *, activation: int) -> Launch:
    """One warp per row."""
    return over_rows(h.shape[0], h, c, term, *h.shape, activation)


def backward_launch(dterm: Any, h: Any, c: Any, dh: Any, dc: Any, *, activation: int) -> Launch:
    """One block per group of columns."""
    count, n = h.shape
    return Launch(grid(n, COLUMN_BLOCK[0]), COLUMN_BLOCK, (dterm, h, c, dh, dc, count, n, activation))


def gradient(graph: Any, node: Any, dterm: Any) -> tuple[Any, ...]:
    """Appends the backward operation."""
    h, c = node.inputs
    dh, dc = graph.like(h), graph.like(c)
    graph.apply(CONTRACTION_BACKWARD, (dterm, h, c), (dh, dc), **node.attributes)
    return dh, dc


CONTRACTION = Operation(
    "contraction",
    forward_reference,
    forward_loop,
    rows,
    cuda=Cuda("contraction.cu", "contraction", forward_launch, types={"VALUE": 0, "REAL": 1}),
    gradient=gradient,
    flops=lambda h, c, term, *, activation: 5 * h.size,
)
CONTRACTION_BACKWARD = Operation(
    "contraction_backward",
    backward_reference,
    backward_loop,
    units,
    cuda=Cuda("contraction.cu", "contraction_backward", backward_launch, types={"REAL": 0, "VALUE": 1}),
    flops=lambda dterm, h, c, dh, dc, *, activation: 10 * h.size,
)
