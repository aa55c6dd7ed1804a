"""The moving average of the parameters after each update: a ← (1 − rate) · a + rate · p."""

from __future__ import annotations

from typing import Any

from ..counters import FAILED, ROW, SKIP
from ..launch import each_element
from ..operation import Cuda, Operation, elements


def reference(xp: Any, p: Any, average: Any, rates: Any, counters: Any) -> None:
    """Moves `average` (n,) towards p (n,) in place; `rates` (steps,) has the rate of each step of the table.

    Does nothing if updates are off.
    """
    if int(counters[FAILED]) >= 0 or int(counters[SKIP]):
        return
    rate = rates[int(counters[ROW])]
    average[...] = (1 - rate) * average + rate * p


def loop(start: int, stop: int, p: Any, average: Any, rates: Any, counters: Any) -> None:
    """`reference` over elements `start` to `stop`."""
    if counters[FAILED] >= 0 or counters[SKIP]:
        return
    rate = rates[counters[ROW]]
    keep = p.dtype.type(1) - rate
    ps, averages = p[start:stop], average[start:stop]
    for i in range(stop - start):
        averages[i] = keep * averages[i] + rate * ps[i]


AVERAGE = Operation(
    "average",
    reference,
    loop,
    elements,
    cuda=Cuda("average.cu", "average", each_element),
    flops=lambda p, *_: 3 * p.size,
    traffic=lambda p, average, *_: (p.nbytes + average.nbytes, average.nbytes),
)
