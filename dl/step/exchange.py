"""The exchange between the ranks that train together: one all-reduce per step, after the backward pass.

Each rank computes the gradient of its rows of the batch. The mean over the batch is the sum of these gradients, each
multiplied by the rank's share of the rows. Metrics travel behind the gradients, and with them, on the host, requests to
stop, so all ranks know of a stop or of a loss that is not finite after the same step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backends.ranks import Ranks, share_of
from ...kernels.counters import COUNTERS, FAILED, FIRST
from ...kernels.exchange import incoming_reference, outgoing_reference
from ...kernels.operation import Operation
from ..data.rows import Rows
from ..graph.graph import Graph
from .plan import TICK, Plan
from .state import TrainingState

REASONS = ("interrupt", "SIGTERM", "stop")
"""Requests to stop that travel; any other one arrives as the last."""


class Exchange:
    """What a rank needs to take its part in the steps, on a backend whose arrays are NumPy's.

    Parameters
    ----------
    ranks : the ranks.
    state : the run's arrays, the same on all ranks.
    asked : why this rank wants to stop; empty if it does not.

    Attributes
    ----------
    arrays : what the operations need besides the arrays of the state, by name. The metrics of this rank's rows of a
        step are added to ``"rank totals"``, as the `totals` of the state.
    sent : what the ranks add up in a step: the gradients, the metrics, and requests to stop.
    agreed : why all ranks stop after the current step; empty if they do not.
    """

    def __init__(self, ranks: Ranks, state: TrainingState, asked: Callable[[], str] = str) -> None:
        self.ranks, self.state, self.asked, self.agreed = ranks, state, asked, ""
        self.collective = state.backend.collective(ranks)
        self.totals = state.backend.zeros(len(state.totals), np.float64)
        self.part = state.backend.zeros(3, np.int64)
        """What kernels/exchange.py calls so."""
        end = state.arena.size + len(self.totals)
        self.sent = state.arena.message[: end + len(REASONS)]
        self.message, self._wishes = self.sent[:end], self.sent[end:]
        self._size = 0  # that `part` is for
        self.arrays: dict[str, Any] = {"rank totals": self.totals}

    def rows(self, size: int) -> int:
        """Rows that this rank computes of a batch of `size` rows, at least 1; a part without rows counts nothing."""
        return max(1, share_of(size, self.ranks.rank, self.ranks.size)[1])

    def arrange(self, data: Rows, cursor: int, batch_size: int) -> None:
        """Moves this rank's rows to the beginning of each batch from `cursor` on, where its steps read them."""
        order = data.shared["order"]
        places = np.arange(len(order), dtype=np.int64)
        for start in range(cursor, len(order), batch_size):
            first, rows = share_of(min(batch_size, len(order) - start), self.ranks.rank, self.ranks.size)
            places[start : start + rows] = np.arange(start + first, start + first + rows)
        order[...] = order[self.state.backend.asarray(places)]

    def lower(self, graph: Graph) -> None:
        """Appends the operations between the backward pass and the update."""
        values = graph.shared("g", ()), graph.shared("counters", (COUNTERS,), "int64")
        graph.apply(Operation("exchange", self.exchange), (*values, graph.shared("totals", (), "float64")), ())

    def run(self, plan: Plan, size: int, steps: int) -> int:
        """Runs up to `steps` steps of batches of `size` rows, as `Plan.run`; ends where all ranks end."""
        deadline, done, failed = time.perf_counter() + TICK, 0, self.state.counters
        while done < steps and not self.agreed and failed[FAILED] < 0:
            self.begin(size)
            done += plan.run(self.rows(size), 1)
            if time.perf_counter() > deadline:
                break
        return done

    def begin(self, size: int) -> None:
        """Prepares steps on batches of `size` rows."""
        first, own = share_of(size, self.ranks.rank, self.ranks.size)
        self.state.counters[FIRST] = first if own else 0
        if size != self._size:
            self._size = size
            self.part[...] = self.state.backend.asarray(np.array([own, size, self.rows(size)]))
        self.totals[...] = 0

    def exchange(self, xp: Any, gradients: Any, counters: Any, totals: Any) -> None:
        """The operation between the backward pass and the update; arguments as the state's arrays."""
        outgoing_reference(xp, self.message, self.totals, self.part)
        wish = self.asked()
        self._wishes[...] = votes(wish) if wish else 0
        self.collective.allreduce(self.sent)
        incoming_reference(xp, self.message, totals, counters, self.part)
        self.agreed = reason(self._wishes) if self._wishes.any() else ""

    def synchronize(self) -> None:
        """Takes over the weights, statistics and optimizer states of rank 0.

        The trained ones are the same already, to rounding where processors differ. Batch normalisation's running
        statistics are those of each rank's own rows.
        """
        for array in (self.state.arena.values, *self.state.slots.values()):
            if array.size:
                self.collective.broadcast(array)


def votes(wish: str) -> np.ndarray:
    """A rank's request to stop, as numbers that can be added; all 0 if it is empty."""
    found = np.zeros(len(REASONS))
    if wish:
        found[REASONS.index(wish) if wish in REASONS else -1] = 1
    return found


def reason(counted: np.ndarray) -> str:
    """Why the ranks stop, given the sum of their votes; empty if they do not."""
    return next((name for name, number in zip(REASONS, counted, strict=True) if number), "")
