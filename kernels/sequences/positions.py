"""Position embedding: adds a vector per position to the token there; and the gradient of the table."""

from __future__ import annotations

from typing import Any

from ...backends.machine import take
from ..launch import over_items
from ..operation import VALUES, Cuda, Launch, Operation, rows, rows_of_second


def forward_reference(xp: Any, x: Any, table: Any, y: Any, *, length: int) -> None:
    """y[i] = x[i] + table[i mod length]: x and y (sequences · length, n), table (at least length, n)."""
    shape = (x.shape[0] // length, length, x.shape[1])
    y[...] = xp.reshape(xp.reshape(x, shape) + table[:length, :], x.shape)


def forward_loop(start: int, stop: int, x: Any, table: Any, y: Any, length: int) -> None:
    """`forward_reference` over rows `start` to `stop`."""
    for row in range(start, stop):
        ys, shifts = y[row], table[row % length]
        take(x[row], ys)
        for j in range(x.shape[1]):
            ys[j] += shifts[j]


def backward_reference(xp: Any, dy: Any, dtable: Any, *, length: int) -> None:
    """dtable[t] = Σ over sequences of dy[· · length + t]; 0 from `length` on."""
    shape = (dy.shape[0] // length, length, dy.shape[1])
    dtable[:length, :] = xp.sum(xp.reshape(dy, shape), axis=0)
    dtable[length:, :] = 0


def backward_loop(start: int, stop: int, dy: Any, dtable: Any, length: int) -> None:
    """`backward_reference` over rows `start` to `stop` of the table, sequences in order."""
    for place in range(start, stop):
        for j in range(dy.shape[1]):
            dtable[place, j] = dy.dtype.type(0)
        if place < length:
            for row in range(place, dy.shape[0], length):
                for j in range(dy.shape[1]):
                    dtable[place, j] += dy[row, j]


def forward_launch(x: Any, table: Any, y: Any, *, length: int) -> Launch:
    """One thread per element."""
    return over_items(x.size, x, table, y, x.size, length * x.shape[1])


def backward_launch(dy: Any, dtable: Any, *, length: int) -> Launch:
    """One thread per element of the table."""
    return over_items(dtable.size, dy, dtable, dy.size, dtable.size, length * dy.shape[1])


def gradient(graph: Any, node: Any, dy: Any) -> tuple[Any, ...]:
    """x receives the output's gradient as it is."""
    dtable = graph.like(node.inputs[1])
    graph.apply(POSITIONS_BACKWARD, (dy,), (dtable,), **node.attributes)
    return dy, dtable


POSITIONS = Operation(
    "positions",
    forward_reference,
    forward_loop,
    rows,
    cuda=Cuda("positions.cu", "positions", forward_launch, types=VALUES),
    gradient=gradient,
    inplace=((0, 0),),
    flops=lambda x, *_, **__: x.size,
)
POSITIONS_BACKWARD = Operation(
    "positions_backward",
    backward_reference,
    backward_loop,
    rows_of_second,
    cuda=Cuda("positions.cu", "positions_backward", backward_launch, types={"VALUE": 0, "REAL": 1}),
    flops=lambda dy, *_, **__: dy.size,
)
