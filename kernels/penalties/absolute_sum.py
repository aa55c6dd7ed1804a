"""L1 penalty on activations: the sum of the absolute values of a row.

term = Σⱼ |xⱼ|, and d term / dxⱼ = sign xⱼ with sign 0 = 0.
"""

from __future__ import annotations

from typing import Any

from ..launch import over_elements, over_rows
from ..operation import Cuda, Launch, Operation, rows


def forward_reference(xp: Any, x: Any, term: Any) -> None:
    """term (rows, 1) = Σ |x| over the row of x (rows, n)."""
    term[:, 0] = xp.sum(xp.abs(x), axis=1)


def forward_loop(start: int, stop: int, x: Any, term: Any) -> None:
    """`forward_reference` over rows `start` to `stop`."""
    for row in range(start, stop):
        total = 0.0
        for value in x[row]:
            total += abs(value)
        term[row, 0] = total


def backward_reference(xp: Any, dterm: Any, x: Any, dx: Any) -> None:
    """dx (rows, n) = dterm (rows, 1) · sign x."""
    dx[...] = dterm * xp.sign(x)


def backward_loop(start: int, stop: int, dterm: Any, x: Any, dx: Any) -> None:
    """`backward_reference` over rows `start` to `stop`."""
    zero = dx.dtype.type(0)
    for row in range(start, stop):
        d = dterm[row, 0]
        xs, out = x[row], dx[row]
        for j in range(xs.shape[0]):
            out[j] = d if xs[j] > zero else -d if xs[j] < zero else d * xs[j]


def forward_launch(x: Any, term: Any) -> Launch:
    """One warp per row."""
    return over_rows(x.shape[0], x, term, *x.shape)


def backward_launch(dterm: Any, x: Any, dx: Any) -> Launch:
    """One thread per element."""
    return over_elements(x.size, dterm, x, dx, x.size, x.shape[1])


def gradient(graph: Any, node: Any, dterm: Any) -> tuple[Any, ...]:
    """Appends the backward operation."""
    (x,) = node.inputs
    dx = graph.like(x)
    graph.apply(ABSOLUTE_SUM_BACKWARD, (dterm, x), (dx,))
    return (dx,)


ABSOLUTE_SUM = Operation(
    "absolute_sum",
    forward_reference,
    forward_loop,
    rows,
    cuda=Cuda("absolute_sum.cu", "absolute_sum", forward_launch, types={"VALUE": 0, "REAL": 1}),
    gradient=gradient,
    flops=lambda x, term: 2 * x.size,
)
ABSOLUTE_SUM_BACKWARD = Operation(
    "absolute_sum_backward",
    backward_reference,
    backward_loop,
    rows,
    cuda=Cuda("absolute_sum.cu", "absolute_sum_backward", backward_launch, types={"REAL": 0, "VALUE": 1}),
    flops=lambda dterm, x, dx: x.size,
)
