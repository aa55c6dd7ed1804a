"""Detects whether other programs disturbed a round of measurements.

There are two noise monitors for each round. The first is the time that threads of this process were ready to run but
had no CPU, which Linux counts; it shows other programs on the same cores. The second is a **reference workload**, fixed
work that does not use this library, timed before and after the round. It shows a slower clock, or another virtual
machine on the same hardware.
"""

from __future__ import annotations

import time
from functools import cached_property

import numpy as np

from ....backends import host
from ....backends.waited import waited
from ..points import REFERENCE_KINDS, Disturbance

TURNS, PRODUCTS, SIDE, WORDS = 5000, 60, 48, 1 << 19  # of the workload: 0.19, 0.12 and 0.14 ms on a core of a Xeon
TRIES = 4


class ReferenceWork:
    """A fixed piece of work of each kind, on one thread: the interpreter, small products, a pass over memory.

    Files are compared by these kinds, so changed work needs new names.
    """

    @cached_property
    def _arrays(self) -> list[np.ndarray]:
        """An aligned array; alignment changes the time of a small product by 6 %."""
        found = [host.aligned_zeros(shape, np.float32) for shape in 2 * [(SIDE, SIDE)] + 2 * [WORDS]]
        for array in found:
            array.fill(1)
        return found

    def measure(self) -> dict[str, float]:
        """Seconds of each kind, the best of several tries, because caches may be cold in the first."""
        return {kind: min(self._timed(kind) for _ in range(TRIES)) for kind in REFERENCE_KINDS}

    def _timed(self, kind: str) -> float:
        square, product, source, target = self._arrays
        start = time.perf_counter()
        if kind == "calls":
            total = 0
            for turn in range(TURNS):
                total += turn * turn
        elif kind == "arithmetic":
            for _ in range(PRODUCTS):
                np.dot(square, square, out=product)
        else:
            np.add(source, 1, out=target)
        return time.perf_counter() - start


class DisturbanceWatch:
    """Monitors the machine from its creation until `stop` is called."""

    def __init__(self, reference: ReferenceWork) -> None:
        self.reference = reference
        self.before = reference.measure()
        self.waited, self.start = waited(), time.perf_counter()

    def stop(self) -> Disturbance:
        """What was seen."""
        seconds = time.perf_counter() - self.start
        share = (waited() - self.waited) / seconds
        after = self.reference.measure()
        return Disturbance(
            waited=max(0.0, share), **{kind: max(after[kind], self.before[kind]) for kind in REFERENCE_KINDS}
        )
