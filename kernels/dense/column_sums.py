"""Sums of the rows of D, which are the gradient of a bias."""

from __future__ import annotations

from typing import Any

from ..activations.bias_activation import CHUNK
from .parts import BlockPart


def sum_rows(task: BlockPart, work: Any, d: int, stride: int, total: Any, chunk: Any) -> None:
    """total (width,) = the sum of D's rows, in chunks as in `bias_activation`; later blocks are added."""
    width = total.shape[0]
    if task.first == 0:
        for j in range(width):
            total[j] = 0
    for first in range(0, task.rows, CHUNK):
        for j in range(width):
            chunk[j] = 0
        for row in range(first, min(first + CHUNK, task.rows)):
            source = work[d + row * stride : d + row * stride + width]
            for j in range(width):
                chunk[j] += source[j]
        for j in range(width):
            total[j] += chunk[j]
