"""The exchange between ranks whose steps run on GPUs: the host queues steps, and never waits for one of them.

A step has the kernels of kernels/exchange.py and one all-reduce, so graphs hold it. The hosts agree, a few times a
second, on the number of steps that all of them queue next: a rank that queued more would wait forever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backends.ranks import Ranks
from ...kernels.counters import COUNTERS
from ...kernels.exchange import INCOMING, OUTGOING
from ...kernels.operation import Operation
from ..graph.graph import Graph
from .exchange import REASONS, Exchange, reason, votes
from .plan import TICK, Plan
from .state import TrainingState

GROWTH = 8  # how much longer the next steps may be than the ones before: the first ones are slow


class DeviceExchange(Exchange):
    """What a rank needs to take its part in the steps, on a backend with a `Collective` of its own."""

    def __init__(self, ranks: Ranks, state: TrainingState, asked: Callable[[], str] = str) -> None:
        super().__init__(ranks, state, asked)
        self.arrays |= {"message": self.message, "part": self.part}
        self._chunk = 1

    def lower(self, graph: Graph) -> None:
        message, part = graph.shared("message", ()), graph.shared("part", (3,), "int64")
        mine, totals = (graph.shared(name, (), "float64") for name in ("rank totals", "totals"))
        graph.apply(OUTGOING, (message, mine, part), ())
        graph.apply(Operation("all_reduce", self._allreduce, captured=True), (message,), ())
        graph.apply(INCOMING, (message, totals, graph.shared("counters", (COUNTERS,), "int64"), part), ())

    def run(self, plan: Plan, size: int, steps: int) -> int:
        start, done, steps = time.perf_counter(), 0, min(steps, self._chunk)
        self.begin(size)
        while done < steps:  # a plan may return before, after some time, which differs between ranks
            done += plan.run(self.rows(size), steps - done)
        self.state.backend.synchronize()
        self._agree(done, time.perf_counter() - start)
        return done

    def _agree(self, done: int, seconds: float) -> None:
        """Finds out whether all ranks go on, and for how many steps: as many as rank 0 does in `TICK` seconds."""
        said = np.append(votes(self.asked()), 0.0 if self.ranks.rank else seconds)
        self.ranks.allreduce(said)
        self.agreed = reason(said[: len(REASONS)])
        self._chunk = max(1, min(int(done * TICK / said[-1]), GROWTH * done))

    def _allreduce(self, xp: Any, message: Any) -> None:
        self.collective.allreduce(message)
