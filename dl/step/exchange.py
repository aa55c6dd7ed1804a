"""The exchange between the ranks that train together: one all-reduce per step, after the backward pass.

Each rank computes the gradient of its rows of the batch. The mean over the batch is the sum of these gradients, each
multiplied by the rank's share of the rows. Metrics, and requests to stop, travel behind the gradients, so all ranks
know of a stop or of a loss that is not finite after the same step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError
from ...backends.ranks import Ranks, share_of
from ...kernels.counters import CURSOR, FAILED, FIRST, STEP
from ...kernels.operation import Operation
from .plan import TICK, Plan
from .state import TrainingState

REASONS = ("interrupt", "SIGTERM", "stop")
"""Requests to stop that travel; any other one arrives as the last."""


class Exchange:
    """What a rank needs to take its part in the steps.

    Parameters
    ----------
    ranks : the ranks.
    state : the run's arrays, the same on all ranks.
    asked : why this rank wants to stop; empty if it does not.

    Attributes
    ----------
    operation : all-reduces the gradients; it goes between the backward pass and the update.
    totals : the metrics of this rank's rows of a step, as the `totals` of the state.
    agreed : why all ranks stop after the current step; empty if they do not.
    """

    def __init__(self, ranks: Ranks, state: TrainingState, asked: Callable[[], str] = str) -> None:
        if state.backend.xp is not np:
            raise ConfigurationError(
                f"backend {state.backend.name!r} trains in one process, and mpiexec started {ranks.size}; use "
                "'numba' or 'numpy'"
            )
        self.ranks, self.state, self.asked, self.agreed = ranks, state, asked, ""
        self.operation = Operation("exchange", self._exchange)
        self.totals = np.zeros_like(state.totals)
        arena = state.arena
        self._message = arena.message[: arena.size + len(self.totals) + len(REASONS)]
        self._behind = self._message[arena.size :]
        self._size = self._own = 0

    def rows(self, size: int) -> int:
        """Rows that this rank computes of a batch of `size` rows, at least 1; a part without rows counts nothing."""
        return max(1, share_of(size, self.ranks.rank, self.ranks.size)[1])

    def arrange(self, order: np.ndarray, cursor: int, batch_size: int) -> None:
        """Moves this rank's rows to the beginning of each batch from `cursor` on, where its steps read them."""
        whole = order.copy()
        for start in range(cursor, len(order), batch_size):
            first, rows = share_of(min(batch_size, len(order) - start), self.ranks.rank, self.ranks.size)
            order[start : start + rows] = whole[start + first : start + first + rows]

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
        """Prepares a step on a batch of `size` rows."""
        first, self._own = share_of(size, self.ranks.rank, self.ranks.size)
        self.state.counters[FIRST] = first if self._own else 0
        self._size, self.totals[...] = size, 0

    def _exchange(self, xp: Any, gradients: Any, counters: Any, totals: Any) -> None:
        behind, measures = self._behind, len(self.totals)
        if self._own:
            gradients *= self._own / self._size
            behind[:measures] = self.totals
        else:
            gradients[...] = behind[:measures] = 0
        behind[measures:] = 0
        wish = self.asked()
        if wish:
            behind[measures:][REASONS.index(wish) if wish in REASONS else -1] = 1
        self.ranks.allreduce(self._message)
        totals += behind[:measures]
        if counters[FAILED] in (-1, counters[STEP]):  # a part without rows may have found another
            counters[FAILED] = -1 if math.isfinite(behind[1]) else counters[STEP]
        counters[CURSOR] += self._size - self.rows(self._size)  # and the step goes on by the rows of this rank
        self.agreed = next((reason for reason, votes in zip(REASONS, behind[measures:], strict=True) if votes), "")

    def synchronize(self) -> None:
        """Takes over the weights, statistics and optimizer states of rank 0.

        The trained ones are the same already, to rounding where processors differ. Batch normalisation's running
        statistics are those of each rank's own rows.
        """
        for array in (self.state.arena.values, *self.state.slots.values()):
            if array.size:
                self.ranks.broadcast(array)
