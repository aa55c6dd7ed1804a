"""Moves a run's counters to the next step."""

from __future__ import annotations

from typing import Any

from .counters import CURSOR, ROW, STEP
from .operation import Operation


def reference(xp: Any, counters: Any, batch: Any) -> None:
    """One step, one schedule row, and the rows of `batch` (rows, n) further."""
    counters[STEP] += 1
    counters[ROW] += 1
    counters[CURSOR] += batch.shape[0]


def loop(start: int, stop: int, counters: Any, batch: Any) -> None:
    """`reference`, as a single item."""
    counters[STEP] += 1
    counters[ROW] += 1
    counters[CURSOR] += batch.shape[0]


ADVANCE = Operation("advance", reference, loop)
