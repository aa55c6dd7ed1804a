"""A data set where the training runs, and the order in which its rows are read."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from ..backends import Backend
from ..backends.errors import DataError, ShapeError
from ..backends.philox import permutation
from .arena import Arena
from .data import Dataset
from .dense_chain import plan_of
from .layers.base import Layer
from .losses import Loss
from .plan import Plan
from .program import evaluation, prediction
from .state import new_counters


class Resident:
    """Features (n, width) and targets (n, k) on the backend, in the dtype in which they were given.

    Batches are gathered, and converted, in the step itself. A memory-mapped array stays one on the CPU.
    """

    def __init__(self, backend: Backend, data: Dataset) -> None:
        if data.y is None:
            raise DataError("the data set has no targets y")
        self.backend, self.rows = backend, len(data)
        self.x = backend.asarray(flat(data.x))
        self.y = backend.asarray(flat(data.y))
        self.order = backend.asarray(np.arange(self.rows, dtype=np.int64).copy())

    def shuffle(self, key: np.ndarray, epoch: int) -> None:
        """Draws the order of an epoch; the same key and epoch give the same order on every backend."""
        self.order[...] = permutation(self.backend.xp, key, self.rows, epoch)

    def restart(self) -> None:
        """Before a pass over the rows begins anew: nothing to do, all of them are there."""

    def ready(self, cursor: int, size: int, steps: int) -> int:
        """How many of `steps` of `size` rows may be started at `cursor`: all."""
        return steps

    @property
    def shared(self) -> dict[str, Any]:
        """The arrays by the names that plans know them by."""
        return {"data x": self.x, "data y": self.y, "order": self.order}


class Rows(Protocol):
    """A data set that steps read: `Resident`, or `streamed.Streamed`."""

    backend: Backend
    rows: int
    x: Any

    def shuffle(self, key: np.ndarray, epoch: int) -> None: ...
    def restart(self) -> None: ...
    def ready(self, cursor: int, size: int, steps: int) -> int: ...
    @property
    def shared(self) -> dict[str, Any]: ...


class Evaluator:
    """Runs a model over a data set and averages its scores."""

    def __init__(
        self, model: Layer, loss: Loss, arena: Arena, data: Rows, capacity: int, precision: str | None = None
    ) -> None:
        self.backend, self.loss, self.data = data.backend, loss, data
        backend = self.backend
        self.counters, self.fresh = new_counters(backend), new_counters(backend)
        self.totals = backend.zeros(1 + len(loss.metrics), np.float64)
        program = evaluation(model, loss, data.x.shape[1], precision)
        shared = {**data.shared, "counters": self.counters, "totals": self.totals}
        self.plan = plan_of(program.graph, backend, arena, shared, min(capacity, data.rows))

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
        return means(self.backend.to_numpy(self.totals), self.loss)


class Predictor:
    """Computes a model's outputs for host arrays, in blocks of `capacity` rows."""

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
        self.plan = Plan(self.program.graph, backend, arena, {}, capacity)

    def __call__(self, x: Any) -> np.ndarray:
        """Outputs (rows, n) for x (rows, width)."""
        x = flat(x)
        if x.shape[1] != self.width:
            raise ShapeError(f"x has {x.shape[1]} features a row; the model was given {self.width} before")
        output = np.empty((x.shape[0], *self.program.prediction.shape), dtype=self.program.graph.dtype)
        for start in range(0, x.shape[0], self.plan.capacity):
            rows = min(self.plan.capacity, x.shape[0] - start)
            self.plan.array(self.program.x, rows)[...] = self.backend.asarray(x[start : start + rows])
            self.plan.once(rows, "forward")
            output[start : start + rows] = self.backend.to_numpy(self.plan.array(self.program.prediction, rows))
        return output


def flat(array: Any) -> Any:
    """The array with one row an example, (n, features)."""
    if isinstance(array, np.memmap):
        array = np.asarray(array)  # the same pages, as an array that compiled loops take
    return array.reshape(array.shape[0], math.prod(array.shape[1:]))


def means(totals: np.ndarray, loss: Loss) -> dict[str, float]:
    """The averages of a loss's metrics from their totals."""
    return {name: float(total / max(totals[0], 1)) for name, total in zip(loss.metrics, totals[1:], strict=True)}
