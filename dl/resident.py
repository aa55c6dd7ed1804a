"""A data set where the training runs, and the order in which its rows are read."""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol, get_args

import numpy as np

from ..backends import Backend
from ..backends.errors import DataError, ShapeError
from ..backends.philox import draws, permutation
from .arena import Arena
from .data import Dataset
from .dense_chain import plan_of
from .graph import Graph, Value
from .layers.base import Layer
from .losses import Loss
from .plan import Plan
from .program import evaluation, prediction
from .state import new_counters

Order = Literal["shuffled", "once", "replacement"]
"""How minibatches are drawn: from a new permutation each epoch, from the first one's, or each row by itself."""
ORDERS = get_args(Order)


class Resident:
    """Features (n, width), targets (n, k) and weights (n, 1) on the backend, in the dtype in which they were given.

    Weights are scaled to a mean of 1, so that a mean over rows is a weighted one.

    Batches are gathered, and converted, in the step itself. A memory-mapped array stays one on the CPU.
    """

    def __init__(self, backend: Backend, data: Dataset) -> None:
        if data.y is None:
            raise DataError("the data set has no targets y")
        self.backend, self.rows = backend, len(data)
        self.x = backend.asarray(flat(data.x))
        self.y = backend.asarray(flat(data.y))
        weight = scaled_weight(data)
        self.weight: Any = None if weight is None else backend.asarray(weight)
        self.order = backend.asarray(np.arange(self.rows, dtype=np.int64).copy())

    def shuffle(self, key: np.ndarray, epoch: int, order: Order = "shuffled") -> None:
        """Draws the order of an epoch; the same key and epoch give the same order on every backend."""
        self.order[...] = drawn(self.backend.xp, key, self.rows, epoch, order)

    def restart(self) -> None:
        """Before a pass over the rows begins anew: nothing to do, all of them are there."""

    def ready(self, cursor: int, size: int, steps: int) -> int:
        """How many of `steps` of `size` rows may be started at `cursor`: all."""
        return steps

    @property
    def shared(self) -> dict[str, Any]:
        """The arrays by the names that plans know them by."""
        arrays = {"data x": self.x, "data y": self.y, "order": self.order}
        return arrays if self.weight is None else {**arrays, "data weight": self.weight}


def drawn(xp: Any, key: np.ndarray, rows: int, epoch: int, order: Order) -> Any:
    """The rows (rows,) of an epoch in their order; the same key and epoch give the same with every array module."""
    if order == "replacement":
        return draws(xp, key, rows, epoch)
    return permutation(xp, key, rows, 0 if order == "once" else epoch)


class Rows(Protocol):
    """A data set that steps read: `Resident`, or `streamed.Streamed`."""

    backend: Backend
    rows: int
    x: Any
    weight: Any

    def shuffle(self, key: np.ndarray, epoch: int, order: Order = "shuffled") -> None: ...
    def restart(self) -> None: ...
    def ready(self, cursor: int, size: int, steps: int) -> int: ...
    @property
    def shared(self) -> dict[str, Any]: ...


class Evaluator:
    """Runs a model over a data set and averages its scores."""

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        arena: Arena,
        data: Rows,
        capacity: int,
        precision: str | None = None,
        unit: float = 1.0,
    ) -> None:
        self.backend, self.loss, self.data, self.unit = data.backend, loss, data, unit
        backend = self.backend
        self.counters, self.fresh = new_counters(backend), new_counters(backend)
        self.totals = backend.zeros(1 + len(loss.metrics), np.float64)
        program = evaluation(model, loss, data.x.shape[1], precision, weighted=data.weight is not None)
        shared = {**data.shared, "counters": self.counters, "totals": self.totals}
        self.plan = plan_of(program.graph, backend, arena, shared, min(program.rows_for(capacity), data.rows))

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


def scaled_weight(data: Dataset) -> np.ndarray | None:
    """The rows' weights (n, 1), scaled to a mean of 1; None where there are none."""
    if data.weight is None:
        return None
    total = data.weight.sum()
    if not total > 0:
        raise DataError("the rows' weights are all 0; expected some above it")
    return (data.weight * (len(data) / total)).reshape(-1, 1)


def flat(array: Any) -> Any:
    """The array with one row an example, (n, features)."""
    if isinstance(array, np.memmap):
        array = np.asarray(array)  # the same pages, as an array that compiled loops take
    return array.reshape(array.shape[0], math.prod(array.shape[1:]))


def check_categories(graph: Graph, x: Value, data: Dataset) -> None:
    """Raises where the model takes rows of x for numbers of categories, and those of `data` are none."""
    if x in graph.categories:
        data.check_categories(graph.categories[x])


def means(totals: np.ndarray, loss: Loss, unit: float = 1.0) -> dict[str, float]:
    """The averages of a loss's metrics from their totals, the loss times `unit`; all are NaN where the loss is."""
    found = {name: float(total / max(totals[0], 1)) for name, total in zip(loss.metrics, totals[1:], strict=True)}
    if math.isnan(found["loss"]):
        return dict.fromkeys(found, math.nan)
    return found if unit == 1 else found | {"loss": found["loss"] * unit}
