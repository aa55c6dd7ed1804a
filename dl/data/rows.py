"""The rows that training steps read, and the order in which they are read."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np

from ...backends import Backend
from ...backends.errors import DataError
from ...backends.philox import chosen, draws, in_order, permutation
from ...kernels.random.row_words import ROW_WORDS
from . import Dataset

Order = Literal["shuffled", "once", "replacement"]
"""How minibatches are drawn: from a new permutation each epoch, from a fixed one, or with replacement."""

ORDERS = get_args(Order)


def drawn(xp: Any, key: np.ndarray, rows: int, epoch: int, order: Order) -> Any:
    """The row order (rows,) of an epoch; the same key and epoch give the same order with every array module."""
    if order == "replacement":
        return draws(xp, key, rows, epoch)
    return permutation(xp, key, rows, 0 if order == "once" else epoch)


def drawn_on(backend: Backend, key: np.ndarray, rows: int, epoch: int, order: Order) -> Any:
    """The same on a backend; on a GPU one kernel writes the words, because array code would be a hundred launches."""
    if backend.xp is np:
        return drawn(np, key, rows, epoch, order)
    words = backend.zeros(rows, np.uint64)
    attributes = {
        "low": int(key[0]),
        "high": int(key[1]),
        "stream": int(order == "replacement"),
        "epoch": 0 if order == "once" else epoch,
    }
    backend.bind(ROW_WORDS, [words], attributes)()
    return (chosen if order == "replacement" else in_order)(backend.xp, words)


class Rows:
    """A data set that training steps read: `Resident`, `streamed.Streamed` or `batches.BatchRows`.

    On the backend are x (n, width), y (n, k) and weight (n, 1) or None, and in `places` (rows,) the row of x that is
    read at each position of an epoch.
    """

    backend: Backend
    rows: int
    x: Any
    y: Any
    weight: Any
    places: Any

    def shuffle(self, key: np.ndarray, epoch: int, order: Order = "shuffled") -> None:
        """Draws the order of an epoch; the same key and epoch give the same order on every backend."""
        raise NotImplementedError

    def restart(self) -> None:
        """Called before a new pass over the rows, or after an error in a step."""

    def ready(self, cursor: int, size: int, steps: int) -> int:
        """How many of `steps` steps of `size` rows can start at `cursor`, at least 1."""
        raise NotImplementedError

    @property
    def shared(self) -> dict[str, Any]:
        """The arrays, by their names in plans."""
        arrays = {"data x": self.x, "data y": self.y, "order": self.places}
        return arrays if self.weight is None else {**arrays, "data weight": self.weight}


def scaled_weight(data: Dataset) -> np.ndarray | None:
    """The sample weights (n, 1), scaled to mean 1; None if there are none."""
    if data.weight is None:
        return None
    total = data.weight.sum()
    if not total > 0:
        raise DataError("weight is 0 in all rows; expected at least one positive weight")
    return (data.weight * (len(data) / total)).reshape(-1, 1)


def flat(array: Any) -> Any:
    """The array reshaped to one row per example, (n, features)."""
    if isinstance(array, np.memmap):
        array = np.asarray(array)  # the same pages, as an array that compiled loops take
    return array.reshape(array.shape[0], math.prod(array.shape[1:]))
