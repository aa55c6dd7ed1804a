"""A loss that is a weighted sum: one part's scores and gradient join those of the parts before it."""

from __future__ import annotations

from typing import Any

from ..launch import over_rows
from ..operation import Cuda, Launch, Operation, rows


def reference(xp: Any, before: Any, scores: Any, gradient: Any, joint: Any, scaled: Any, *, weight: float) -> None:
    """joint (rows, max(k, 1) + m) = [sum, rest of `before`, `scores`]; scaled (rows, n) = weight · gradient.

    `before` (rows, k) has the sum of the parts so far in its first column, none for k = 0; `scores` (rows, m) has this
    part's loss in its first.
    """
    k, m = before.shape[1], scores.shape[1]
    loss = weight * scores[:, 0]
    joint[:, 0] = before[:, 0] + loss if k else loss
    if k:
        joint[:, 1:k] = before[:, 1:]
    joint[:, joint.shape[1] - m :] = scores
    scaled[...] = weight * gradient


def loop(
    start: int, stop: int, before: Any, scores: Any, gradient: Any, joint: Any, scaled: Any, weight: float
) -> None:
    """`reference` over rows `start` to `stop`."""
    factor = scores.dtype.type(weight)
    k, m, n = before.shape[1], scores.shape[1], gradient.shape[1]
    first = joint.shape[1] - m
    for row in range(start, stop):
        out = joint[row]
        loss = factor * scores[row, 0]
        out[0] = before[row, 0] + loss if k > 0 else loss
        for j in range(1, first):
            out[j] = before[row, j]
        for j in range(m):
            out[first + j] = scores[row, j]
        for j in range(n):
            scaled[row, j] = factor * gradient[row, j]


def launch(before: Any, scores: Any, gradient: Any, joint: Any, scaled: Any, *, weight: float) -> Launch:
    """A warp a row."""
    count, k = before.shape
    widths = k, scores.shape[1], gradient.shape[1]
    return over_rows(count, before, scores, gradient, joint, scaled, count, *widths, float(weight))


JOINT = Operation(
    "joint",
    reference,
    loop,
    rows,
    cuda=Cuda("joint.cu", "joint", launch, types={"REAL": 1, "GRADIENT": 2}),
    inplace=((1, 2),),
    flops=lambda before, scores, gradient, *_, **__: gradient.size + 2 * scores.shape[0],
)
