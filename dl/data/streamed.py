"""A data set larger than device memory: two blocks are on the device; one is copied while the other is read.

Rows are read through an order at a cursor, as with `Resident`, so results are bit-identical: row i of the epoch is at
index i modulo two blocks. A thread gathers a block from the host arrays into pinned memory, and a separate stream
copies it.
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

BLOCK = 64 << 20  # maximum bytes of a block, but at least one batch


def rows_of(backend: Backend, data: Dataset, batch_size: int, streamed: bool) -> Rows:
    """The data set for steps of `batch_size` rows: on the device, or streamed if that needs less memory."""
    if streamed and is_streamed(data, batch_size):
        return Streamed(backend, data, batch_size)
    return Resident(backend, data)


def is_streamed(data: Dataset, batch_size: int) -> bool:
    """Whether two blocks are smaller than the data set, so that it can be streamed."""
    return 2 * block_rows(data, batch_size) < len(data)


def block_rows(data: Dataset, batch_size: int) -> int:
    """Rows of a block, a multiple of the batch size."""
    a_row = sum(array.nbytes // len(data) for array in (data.x, data.y, data.weight) if array is not None)
    return max(1, BLOCK // max(1, a_row * batch_size)) * batch_size


class Streamed(Rows):
    """Replaces `Resident` if the arrays do not fit on the device.

    Parameters
    ----------
    backend : one that `streams`.
    data : on the host; memory maps are read block by block.
    batch_size : usual rows of a batch; other sizes work too.
    """

    def __init__(self, backend: Backend, data: Dataset, batch_size: int) -> None:
        if data.y is None:
            raise DataError("y is missing: the data set has no targets")
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
        self.fills: dict[int, Future[Any]] = {}  # by block number; the result is the event of its arrival
        self.ends: dict[int, Any] = {}  # of the latest copy from each half of the pinned memory
        self.arrived: set[int] = set()  # blocks that the steps wait for already
        self.thread = ThreadPoolExecutor(1)
        weakref.finalize(self, self.thread.shutdown, wait=False)

    def shuffle(self, key: np.ndarray, epoch: int, order: Order = "shuffled") -> None:
        self.restart()
        self.places[...] = self.backend.xp.arange(self.rows) % (2 * self.block)  # ranks have moved them
        self.order = drawn(np, key, self.rows, epoch, order)

    def restart(self) -> None:
        """Discards copied blocks, which belong to another order or to an earlier pass."""
        for fill in self.fills.values():
            fill.result()
        self.fills.clear()
        self.arrived.clear()

    def ready(self, cursor: int, size: int, steps: int) -> int:
        """Waits for the next batch, at `cursor`; returns how many of `steps` steps of `size` rows can start."""
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
        """Gathers a block, starts its copy and returns the event of its arrival; runs in the thread."""
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
