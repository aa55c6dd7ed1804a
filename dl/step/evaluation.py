"""Evaluation of a model on a data set, and prediction for host arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backends import Backend
from ...backends.errors import ShapeError
from ...backends.ranks import Ranks, share_of
from ..data import Dataset
from ..data.resident import Resident
from ..data.rows import Rows, flat
from ..graph.graph import Graph, Value
from ..layers.base import Layer
from ..losses.losses import Loss
from .arena import Arena
from .plan import Plan
from .plans import plan_of
from .program import Program, evaluation, prediction
from .spec import StepSpec
from .state import new_counters


class Evaluator:
    """Runs a model over a data set and averages its scores.

    If `ranks` are given, each of them evaluates its part of the rows, all at once.
    """

    def __init__(
        self,
        spec: StepSpec,
        arena: Arena,
        data: Rows,
        capacity: int,
        *,
        unit: float = 1.0,
        program: Program | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        if ranks is not None and isinstance(data, Resident):
            first, rows = share_of(data.rows, ranks.rank, ranks.size)
            data = data.in_order(np.arange(first, first + rows))
        self.backend, self.loss, self.data, self.unit = data.backend, spec.loss, data, unit
        backend = self.backend
        self._collective = None if ranks is None else backend.collective(ranks)
        self.counters, self.fresh = new_counters(backend), new_counters(backend)
        self.totals = backend.zeros(1 + len(self.loss.metrics), np.float64)
        if program is None:
            program = evaluation(spec, data.x.shape[1], weighted=data.weight is not None)
        shared = {**data.shared, "counters": self.counters, "totals": self.totals}
        self.plan = plan_of(program.graph, backend, arena, shared, max(1, min(program.rows_for(capacity), data.rows)))

    def __call__(self) -> dict[str, float]:
        """The mean of each metric over the data set."""
        self.counters[...] = self.fresh
        self.totals[...] = 0
        self.data.restart()
        whole, rest = divmod(self.data.rows, self.plan.capacity)
        done = 0
        while done < whole:
            there = self.data.ready(done * self.plan.capacity, self.plan.capacity, whole - done)
            done += self.plan.run(self.plan.capacity, there)
        if rest:
            self.data.ready(self.data.rows - rest, rest, 1)
            self.plan.run(rest, 1)
        if self._collective is not None:
            self._collective.allreduce(self.totals)
        return means(self.backend.to_numpy(self.totals), self.loss, self.unit)


class Predictor:
    """Computes a model's outputs for host arrays, in blocks of about `capacity` rows of outputs."""

    def __init__(
        self,
        model: Layer,
        backend: Backend,
        arena: Arena,
        width: int,
        precision: str | None = None,
        capacity: int = 1024,
    ) -> None:
        self.program = prediction(model, width, precision)
        self.backend, self.width = backend, width
        self.plan = Plan(self.program.graph, backend, arena, {}, self.program.rows_for(capacity))

    def __call__(self, x: Any) -> np.ndarray:
        """Outputs (rows, n), of sequences (rows, tokens, n), for x (rows, width)."""
        x = flat(x)
        if x.shape[1] != self.width:
            raise ShapeError(f"x has {x.shape[1]} features a row; the model was given {self.width} before")
        shape, dtype = self.program.prediction.example_shape, self.program.graph.dtype
        output = np.empty((x.shape[0], *shape), dtype=dtype)
        for start in range(0, x.shape[0], self.plan.capacity):
            rows = min(self.plan.capacity, x.shape[0] - start)
            self.plan.array(self.program.x, rows)[...] = self.backend.asarray(x[start : start + rows])
            self.plan.once(rows, "forward")
            answer = self.backend.to_numpy(self.plan.array(self.program.prediction, rows))
            output[start : start + rows] = answer.reshape(rows, *shape)
        return output


def check_categories(graph: Graph, x: Value, data: Dataset) -> None:
    """Raises an error if the model reads x as category numbers and `data` has other values."""
    if x in graph.categories:
        data.check_categories(graph.categories[x])


def check_data(data: Dataset, program: Program, loss: Loss) -> None:
    """Raises an error if rows or targets do not fit the model and the loss; compiled loops do not check them."""
    loss.check(data, program.prediction.example_shape)
    check_categories(program.graph, program.x, data)


def means(totals: np.ndarray, loss: Loss, unit: float = 1.0) -> dict[str, float]:
    """The averages of a loss's metrics from their totals, the loss times `unit`; all are NaN if the loss is."""
    found = {name: float(total / max(totals[0], 1)) for name, total in zip(loss.metrics, totals[1:], strict=True)}
    if math.isnan(found["loss"]):
        return dict.fromkeys(found, math.nan)
    return found if unit == 1 else found | {"loss": found["loss"] * unit}
