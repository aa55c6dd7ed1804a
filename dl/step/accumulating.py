"""Gradient accumulation: minibatches are processed in parts to save memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ...backends import Backend
from ...kernels.counters import CURSOR, FIRST
from ..graph.graph import Graph
from .arena import Arena
from .plan import TICK, Plan, quietly


class AccumulatingPlan(Plan):
    """Runs training steps in `parts`, with memory for the activations of one part only.

    The gradient is the mean over all rows of the batch, followed by one update. Batch normalisation and the batch
    means of `KLSparsity` use each part separately. Dropout and noise are those of the whole batch.

    Parameters
    ----------
    capacity : rows of the largest batch, all its parts together.
    """

    def __init__(
        self,
        graph: Graph,
        backend: Backend,
        arena: Arena,
        shared: Mapping[str, Any],
        capacity: int,
        *,
        parts: int,
    ) -> None:
        self.part = -(-capacity // parts)
        super().__init__(graph, backend, arena, shared, self.part)
        self._total = arena.zeros()

    @quietly
    def run(self, rows: int, steps: int) -> int:
        counters, done = self._shared["counters"], 0
        deadline, place = time.perf_counter() + TICK, int(counters[FIRST])
        while done < steps and (not done or time.perf_counter() < deadline):
            self._total[...] = 0
            size = 0
            for first, size in self._parts(rows):
                self._differentiate(size, first)
                self._total[...] += self.arena.gradients * (size / rows)
            self.arena.gradients[...] = self._total
            counters[FIRST] = place
            self.once(size, "exchange", "update")  # which moves the cursor past the last part
            done += 1
        return done

    def first_not_finite(self, rows: int) -> str | None:
        counters = self._shared["counters"]
        place = counters[[CURSOR, FIRST]]
        found = (super(AccumulatingPlan, self).first_not_finite(size) for _, size in self._parts(rows))
        layer = next((layer for layer in found if layer is not None), None)
        counters[[CURSOR, FIRST]] = place
        return layer

    def _parts(self, rows: int) -> Iterator[tuple[bool, int]]:
        """Yields, for each part, whether it is the first, and its rows; the cursor is set to its start."""
        counters = self._shared["counters"]
        for start in range(0, rows, self.part):
            if start:
                counters[CURSOR] += self.part
                counters[FIRST] += self.part
            yield not start, min(self.part, rows - start)

    def _differentiate(self, rows: int, first: bool) -> None:
        for call in self.bind(rows):
            moves_weights = call.node.phase == "load" and not call.node.outputs  # ahead of the gradient, once a step
            if call.node.phase not in ("exchange", "update") and (first or not moves_weights):
                call.run()
