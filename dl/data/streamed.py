"""A data set larger than the device: two blocks of its rows lie there, and the next is copied while one is read.

Rows are read as `Resident` gives them, through an order at a cursor, so that results are the same bits: row i of the
epoch lies at place i modulo two blocks. A thread gathers a block from the host's arrays into pinned memory, and a
stream of its own copies it.
"""

from __future__ import annotations

import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ...backends import Backend
from ...backends.errors import DataError
from . import Dataset
from .resident import Resident
from .rows import Order, Rows, drawn, flat, scaled_weight

BLOCK = 64 << 20  # bytes of a block at the most, but at least one batch


def rows_of(backend: Backend, data: Dataset, batch_size: int, streamed: bool) -> Rows:
    """The data set for steps of `batch_size` rows: on the device, or streamed to it where that takes less."""
    if streamed and is_streamed(data, batch_size):
        return Streamed(backend, data, batch_size)
    return Resident(backend, data)


def is_streamed(data: Dataset, batch_size: int) -> bool:
    """Whether two blocks are less than all of a data set, which is streamed then where it must be."""
    return 2 * block_rows(data, batch_size) < len(data)


def block_rows(data: Dataset, batch_size: int) -> int:
    """Rows of a block: whole batches."""
    a_row = sum(array.nbytes // len(data) for array in (data.x, data.y, data.weight) if array is not None)
    return max(1, BLOCK // max(1, a_row * batch_size)) * batch_size


class Streamed:
    """Stands for `Resident` where its arrays do not fit.

    Parameters
    ----------
    backend : one that `streams`.
    data : on the host; memory maps are read block by block.
    batch_size : rows of most batches; others are served too.
    """

    def __init__(self, backend: Backend, data: Dataset, batch_size: int) -> None:
        if data.y is None:
            raise DataError("the data set has no targets y")
        self.backend = backend
        self.rows, self.block = len(data), block_rows(data, batch_size)
        weight = scaled_weight(data)
        self.sources = [flat(data.x), flat(data.y), *([] if weight is None else [weight])]
        self.order = np.arange(self.rows, dtype=np.int64)
        self.copies = backend.copies()
        shapes = [(2 * self.block, source.shape[1]) for source in self.sources]
        dtypes = [source.dtype for source in self.sources]
        self.pinned = [self.copies.pinned(*kind) for kind in zip(shapes, dtypes, strict=True)]
        self.arrays = [backend.zeros(*kind) for kind in zip(shapes, dtypes, strict=True)]
        self.x, self.y = self.arrays[:2]
        self.weight = None if weight is None else self.arrays[2]
        self.places = backend.asarray(np.arange(self.rows, dtype=np.int64) % (2 * self.block))
        self.fills: dict[int, Future[Any]] = {}  # by the number of the block: ends with the event of its arrival
        self.ends: dict[int, Any] = {}  # of the latest copy from each half of the pinned memory
        self.arrived: set[int] = set()  # blocks that the steps wait for already
        self.thread = ThreadPoolExecutor(1)
        weakref.finalize(self, self.thread.shutdown, wait=False)

    def shuffle(self, key: np.ndarray, epoch: int, order: Order = "shuffled") -> None:
        """Draws the order of an epoch; the same as everywhere."""
        self.restart()
        self.order = drawn(np, key, self.rows, epoch, order)

    def restart(self) -> None:
        """Forgets what has been copied: blocks of another order, or of an epoch that begins again."""
        for fill in self.fills.values():
            fill.result()
        self.fills.clear()
        self.arrived.clear()

    @property
    def shared(self) -> dict[str, Any]:
        """The arrays by the names that plans know them by."""
        arrays = {"data x": self.x, "data y": self.y, "order": self.places}
        return arrays if self.weight is None else {**arrays, "data weight": self.weight}

    def ready(self, cursor: int, size: int, steps: int) -> int:
        """Sees to it that the next batch, at `cursor`, is there; how many of `steps` of `size` rows may be started."""
        first, last = cursor // self.block, (cursor + size - 1) // self.block
        passed = [number for number in self.fills if number < first]
        for number in passed:
            del self.fills[number]
            self.arrived.discard(number)
        free = self.copies.now()  # once the steps given so far are done, what they have read may be overwritten
        for number in range(first, last + 1):
            self._begin(number, free)
        for number in range(first, last + 1):
            if number not in self.arrived:
                self.copies.wait(self.fills[number].result())
                self.arrived.add(number)
        if first == last:
            self._begin(last + 1, free)
        return max(1, min(steps, ((last + 1) * self.block - cursor) // size))

    def _begin(self, number: int, free: Any) -> None:
        if number not in self.fills and number * self.block < self.rows:
            self.fills[number] = self.thread.submit(self._fill, number, free)

    def _fill(self, number: int, free: Any) -> Any:
        """Gathers a block and starts to copy it; the event of its arrival. In the thread."""
        half = number % 2 * self.block
        chosen = self.order[number * self.block : (number + 1) * self.block]
        place = slice(half, half + len(chosen))
        if half in self.ends:
            self.ends[half].synchronize()  # what is being copied must not change
        for source, pinned in zip(self.sources, self.pinned, strict=True):
            np.take(source, chosen, axis=0, out=pinned[place], mode="clip")  # in range, and without a buffer between
        pairs = [(array[place], pinned[place]) for array, pinned in zip(self.arrays, self.pinned, strict=True)]
        self.ends[half] = self.copies.start(pairs, free)
        return self.ends[half]
