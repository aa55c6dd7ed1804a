"""A data set held on the training device, and the order in which its rows are read."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ...backends import Backend
from ...backends.errors import DataError
from . import Dataset
from .rows import Order, Rows, drawn_on, flat, scaled_weight


class Resident(Rows):
    """Features (n, width), targets (n, k) and weights (n, 1) on the backend, in their original dtype.

    Weights are scaled to mean 1, so that the mean over rows is the weighted mean.

    The training step gathers and converts batches. On the CPU, memory-mapped arrays stay mapped.
    """

    def __init__(self, backend: Backend, data: Dataset) -> None:
        if data.y is None:
            raise DataError("y is missing: the data set has no targets")
        self.backend, self.rows = backend, len(data)
        self.x = backend.asarray(flat(data.x))
        self.y = backend.asarray(flat(data.y))
        weight = scaled_weight(data)
        self.weight: Any = None if weight is None else backend.asarray(weight)
        self.places = backend.asarray(np.arange(self.rows, dtype=np.int64).copy())
        self._fixed = False

    def in_order(self, order: np.ndarray) -> Resident:
        """The same arrays with a fixed row order for every epoch; a row may occur several times in it."""
        other = copy.copy(self)
        other.rows, other.places, other._fixed = len(order), self.backend.asarray(order), True
        return other

    def shuffle(self, key: np.ndarray, epoch: int, order: Order = "shuffled") -> None:
        if not self._fixed:
            self.places[...] = drawn_on(self.backend, key, self.rows, epoch, order)

    def ready(self, cursor: int, size: int, steps: int) -> int:
        return steps
