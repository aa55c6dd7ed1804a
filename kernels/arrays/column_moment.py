"""The mean of each column or of its squares, for mean activations and squared norms of weights.

mⱼ = (1 / rows) Σᵣ xᵣⱼᵖ with p = 1 or 2, and d mⱼ / dxᵣⱼ = p xᵣⱼᵖ⁻¹ / rows.
"""

from __future__ import annotations

from typing import Any

from ..launch import COLUMN_BLOCK, grid, over_elements
from ..operation import Cuda, Launch, Operation, columns, rows_of_second, through


def forward_reference(xp: Any, x: Any, moment: Any, *, power: int) -> None:
    """moment (n,) = mean over the rows of x (rows, n), or of x · x if `power` is 2."""
    if x.shape[0]:
        moment[...] = xp.mean(x * x if power == 2 else x, axis=0)


def forward_loop(start: int, stop: int, x: Any, moment: Any, power: int) -> None:
    """`forward_reference` over columns `start` to `stop`."""
    count = x.shape[0]
    if count > 0:
        for j in range(start, stop):
            total = 0.0
            for row in range(count):
                value = x[row, j]
                total += value * value if power == 2 else value
            moment[j] = total / count


def backward_reference(xp: Any, dmoment: Any, x: Any, dx: Any, *, power: int) -> None:
    """dx (rows, n) = dmoment (n,) · p · x^(p − 1) / rows."""
    if x.shape[0]:
        share = dmoment * (power / x.shape[0])
        dx[...] = share * x if power == 2 else xp.zeros_like(x) + share


def backward_loop(start: int, stop: int, dmoment: Any, x: Any, dx: Any, power: int) -> None:
    """`backward_reference` over rows `start` to `stop`."""
    share = dx.dtype.type(power / max(x.shape[0], 1))
    for row in range(start, stop):
        xs, out = x[row], dx[row]
        for j in range(xs.shape[0]):
            out[j] = dmoment[j] * share * xs[j] if power == 2 else dmoment[j] * share


def forward_launch(x: Any, moment: Any, *, power: int) -> Launch:
    """One block per group of columns."""
    count, n = x.shape
    return Launch(grid(n if count else 0, COLUMN_BLOCK[0]), COLUMN_BLOCK, (x, moment, count, n, power))


def backward_launch(dmoment: Any, x: Any, dx: Any, *, power: int) -> Launch:
    """One thread per element."""
    count, n = x.shape
    return over_elements(x.size, dmoment, x, dx, x.size, n, power, power / max(count, 1))


COLUMN_MOMENT_BACKWARD = Operation(
    "column_moment_backward",
    backward_reference,
    backward_loop,
    rows_of_second,
    cuda=Cuda(
        "column_moment.cu",
        "column_moment_backward",
        backward_launch,
        types={"REAL": 0, "VALUE": 1, "GRADIENT": 2},
    ),
    flops=lambda dmoment, x, dx, *, power: power * x.size,
)
COLUMN_MOMENT = Operation(
    "column_moment",
    forward_reference,
    forward_loop,
    columns,
    cuda=Cuda("column_moment.cu", "column_moment", forward_launch, types={"VALUE": 0, "REAL": 1, "GRADIENT": 0}),
    gradient=through(COLUMN_MOMENT_BACKWARD, lambda node: node.inputs),
    flops=lambda x, moment, *, power: power * x.size,
)
