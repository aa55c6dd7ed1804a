"""A data set where the training runs, and the order in which its rows are read."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ...backends import Backend
from ...backends.errors import DataError
from . import Dataset
from .rows import Order, drawn, flat, scaled_weight


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
        self._fixed = False

    def in_order(self, order: np.ndarray) -> Resident:
        """The same arrays, whose epochs read the rows in this order each time; a row may occur in it several times."""
        other = copy.copy(self)
        other.rows, other.order, other._fixed = len(order), self.backend.asarray(order), True
        return other

    def shuffle(self, key: np.ndarray, epoch: int, order: Order = "shuffled") -> None:
        """Draws the order of an epoch; the same key and epoch give the same order on every backend."""
        if not self._fixed:
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
