"""Applies sample weights: the loss and gradient of each row are multiplied by its weight, its other scores are not."""

from __future__ import annotations

from typing import Any

from ..launch import over_rows
from ..operation import Cuda, Launch, Operation, rows


def reference(xp: Any, weight: Any, scores: Any, gradient: Any, wscores: Any, wgradient: Any) -> None:
    """wscores (rows, m) = scores with column 0 times weight (rows, 1); wgradient (rows, n) = weight · gradient."""
    wscores[:, 1:] = scores[:, 1:]
    wscores[:, 0] = weight[:, 0] * scores[:, 0]
    wgradient[...] = weight * gradient


def loop(start: int, stop: int, weight: Any, scores: Any, gradient: Any, wscores: Any, wgradient: Any) -> None:
    """`reference` over rows `start` to `stop`."""
    m, n = scores.shape[1], gradient.shape[1]
    for row in range(start, stop):
        w = weight[row, 0]
        for j in range(m):
            wscores[row, j] = scores[row, j]
        wscores[row, 0] = w * scores[row, 0]
        g, out = gradient[row], wgradient[row]
        for j in range(n):
            out[j] = w * g[j]


def launch(weight: Any, scores: Any, gradient: Any, wscores: Any, wgradient: Any) -> Launch:
    """One warp per row."""
    count, n = gradient.shape
    return over_rows(count, weight, scores, gradient, wscores, wgradient, count, scores.shape[1], n)


APPLY_SAMPLE_WEIGHTS = Operation(
    "apply_sample_weights",
    reference,
    loop,
    rows,
    cuda=Cuda("sample_weights.cu", "apply_sample_weights", launch, types={"REAL": 0, "GRADIENT": 2}),
    inplace=((0, 1), (1, 2)),
    flops=lambda weight, scores, gradient, *_: gradient.size + weight.size,
)
