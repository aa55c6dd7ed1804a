"""Adds one part of a joint loss (a weighted sum): its scores and gradient are added to those of earlier parts."""

from __future__ import annotations

from typing import Any

from ..launch import over_rows
from ..operation import Cuda, Launch, Operation, rows


def reference(xp: Any, before: Any, scores: Any, gradient: Any, joint: Any, scaled: Any, *, weight: float) -> None:
    """joint (rows, max(k, 1) + m) = [sum, rest of `before`, `scores`]; scaled (rows, n) = weight · gradient.

    Column 0 of `before` (rows, k) is the sum of earlier parts (k = 0: there are none); column 0 of `scores` (rows, m)
    is the loss of this part.
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
    """One warp per row."""
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
