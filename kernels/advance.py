"""Advances a run's counters to the next step."""

from __future__ import annotations

from typing import Any

from .counters import CURSOR, ROW, SKIP, STEP
from .launch import one_block
from .operation import Cuda, Launch, Operation


def reference(xp: Any, counters: Any, batch: Any) -> None:
    """Advances by one step, one schedule row and the rows of `batch` (rows, n); enables updates for the next step."""
    counters[STEP] += 1
    counters[ROW] += 1
    counters[CURSOR] += batch.shape[0]
    counters[SKIP] = 0


def loop(start: int, stop: int, counters: Any, batch: Any) -> None:
    """`reference` as a single item."""
    counters[STEP] += 1
    counters[ROW] += 1
    counters[CURSOR] += batch.shape[0]
    counters[SKIP] = 0


def launch(counters: Any, batch: Any) -> Launch:
    """A single thread."""
    return one_block(counters, batch.shape[0])


ADVANCE = Operation("advance", reference, loop, cuda=Cuda("advance.cu", "advance", launch, types={}))
