"""What every optimizer's update shares: its arguments.

An update is one pass over the arena. Its arrays are the parameters p and gradients g, the optimizer's
states (each as p, or empty where unused), then

- ``bounds`` int64 (ranges, 2): start and stop of each range of the arena,
- ``factors`` (ranges, 2): its learning-rate factor and its weight decay,
- ``table`` (steps, columns): the step's constants, made on the host in float64, one row a step,
- ``counters`` int64 (COUNTERS,): which row to read, and whether updates are off,
- ``clip`` (1,): what the gradient is multiplied with, 1 without clipping.

Constants arrive rounded to the parameters' dtype: a float64 among them would turn float32 loops into
float64 ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .counters import FAILED, ROW
from .operation import Operation


def constants(table: Any, counters: Any) -> list[float]:
    """The row of the schedule table that this step reads."""
    row = int(counters[ROW])
    return [float(table[row, column]) for column in range(table.shape[1])]


def ranges(bounds: Any, factors: Any, counters: Any) -> Iterator[tuple[slice, float, float]]:
    """Each range as a slice with its rate factor and decay; none once a loss was not finite."""
    if int(counters[FAILED]) >= 0:
        return
    for r in range(bounds.shape[0]):
        yield slice(int(bounds[r, 0]), int(bounds[r, 1])), float(factors[r, 0]), float(factors[r, 1])


def update_operation(name: str, reference: Any, loop: Any, flops_per_parameter: int, **texts: Any) -> Operation:
    """An update whose items are the elements of the arena.

    It reads p, g and the states, and writes p and the states in place.
    """

    def traffic(p: Any, g: Any, *others: Any) -> tuple[int, int]:
        kept = p.nbytes + sum(slot.nbytes for slot in others[:-5])
        return kept + g.nbytes, kept

    return Operation(
        name,
        reference,
        loop,
        lambda *arrays: arrays[0].size,
        flops=lambda p, *_, **__: flops_per_parameter * p.size,
        traffic=traffic,
        **texts,
    )
