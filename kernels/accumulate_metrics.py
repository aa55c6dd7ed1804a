"""Accumulates the metrics of a batch, and records the first step whose loss is not finite.

Sums are float64 in a fixed order: row order on the CPU, a tree on the GPU. There are no atomics, so the bits of a
backend do not depend on how work is divided.
"""

from __future__ import annotations

import math
from typing import Any

from .counters import FAILED, STEP
from .launch import one_block
from .operation import Cuda, Launch, Operation


def reference(xp: Any, scores: Any, counters: Any, totals: Any) -> None:
    """totals[0] += rows; totals[1 + i] += Σ scores[:, i]; column 0 is the loss.

    `scores` (rows, m) floating, `counters` (COUNTERS,) int64, `totals` (1 + m,) float64.
    """
    totals[0] = totals[0] + scores.shape[0]
    for column in range(scores.shape[1]):
        totals[1 + column] = totals[1 + column] + xp.sum(scores[:, column], dtype=xp.float64)
    if not math.isfinite(float(totals[1])) and int(counters[FAILED]) < 0:
        counters[FAILED] = counters[STEP]


def loop(start: int, stop: int, scores: Any, counters: Any, totals: Any) -> None:
    """`reference` as a single item."""
    count, m = scores.shape
    totals[0] += count
    for column in range(m):
        total = 0.0
        for row in range(count):
            total += scores[row, column]
        totals[1 + column] += total
    if not math.isfinite(totals[1]) and counters[FAILED] < 0:
        counters[FAILED] = counters[STEP]


def launch(scores: Any, counters: Any, totals: Any) -> Launch:
    """A single block."""
    return one_block(scores, counters, totals, *scores.shape)


ACCUMULATE_METRICS = Operation(
    "accumulate_metrics",
    reference,
    loop,
    cuda=Cuda("accumulate_metrics.cu", "accumulate_metrics", launch),
    flops=lambda scores, *_: scores.size,
)
