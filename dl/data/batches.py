"""`Batches`: a stream of batches to train on, and the rows of the present one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ...backends import Backend
from ...backends.errors import ConfigurationError, DataError, ShapeError
from . import Dataset, as_dataset
from .rows import Order, Rows, flat, scaled_weight


class Batches:
    """A stream of batches for `Trainer.fit`: an iterable of (x, y) or (x, y, weight), or a function that returns one.

    Each batch is one step. All have as many rows as the first. The order is that of the stream, so a resumed training
    goes on with the batches that come then.

    Parameters
    ----------
    source : an iterable, such as a list or a loader, that can be iterated again; or a function without arguments that
        returns a new iterator, such as a generator function.
    per_epoch : batches of an epoch; by default ``len(source)``.

    Raises
    ------
    ConfigurationError
        `source` is neither, or `per_epoch` is not an integer of at least 1, or is missing and `source` has no length.
    DataError
        The stream is empty, or ends and cannot be begun again.

    Examples
    --------
    >>> def noisy():
    ...     for start in range(0, len(x) - 31, 32):
    ...         batch = x[start : start + 32]
    ...         yield batch + random.normal(0, 0.1, batch.shape), y[start : start + 32]
    >>> trainer.fit(gs.Batches(noisy, per_epoch=len(x) // 32), epochs=5)
    """

    def __init__(self, source: Iterable[Any] | Callable[[], Iterable[Any]], per_epoch: int | None = None) -> None:
        if not callable(source) and not hasattr(source, "__iter__"):
            raise ConfigurationError(
                f"Batches: source is {source!r}; expected an iterable, or a function that returns one"
            )
        if per_epoch is None and hasattr(source, "__len__"):
            per_epoch = len(source)  # pyright: ignore[reportArgumentType]
        if isinstance(per_epoch, bool) or not isinstance(per_epoch, int | np.integer) or per_epoch < 1:
            missing = "; a source without a length needs it" if per_epoch is None else ""
            raise ConfigurationError(
                f"Batches: per_epoch is {per_epoch!r}; expected the number of batches in an epoch, at least 1{missing}"
            )
        self.source, self.per_epoch = source, int(per_epoch)
        self._iterator: Iterator[Any] | None = None
        self._ahead: list[Dataset] = []
        self._count = 0

    def first(self) -> Dataset:
        """The next batch, which stays the next one."""
        if not self._ahead:
            self._ahead.append(self.next())
        return self._ahead[0]

    def next(self) -> Dataset:
        """The next batch; after the end of the stream, the first of a new pass."""
        if self._ahead:
            return self._ahead.pop()
        for _ in range(2):
            if self._iterator is None:
                self._iterator = iter(self.source() if callable(self.source) else self.source)
            for batch in self._iterator:
                self._count += 1
                return as_dataset(tuple(batch) if isinstance(batch, list) else batch)
            self._iterator = None
        raise DataError(
            f"Batches: the stream ended after {self._count} batches and gives no more; give a function that returns a "
            "new iterator, such as a generator function, instead of a generator"
        )


class BatchRows(Rows):
    """The present batch of a stream on a backend, as `Rows`.

    Parameters
    ----------
    backend : of the training.
    batches : the stream.
    learned : makes of a batch what the model learns, and checks it.
    """

    def __init__(self, backend: Backend, batches: Batches, learned: Callable[[Dataset], Dataset]) -> None:
        self.backend, self.batches, self.learned = backend, batches, learned
        first = learned(batches.first())
        if first.y is None:
            raise DataError("y is missing: the batches have no targets")
        self.size = len(first)
        self.rows = self.size * batches.per_epoch
        self.x, self.y = backend.asarray(np.array(flat(first.x))), backend.asarray(np.array(flat(first.y)))
        self.weight: Any = None if first.weight is None else backend.asarray(scaled_weight(first))
        self.places = backend.asarray(np.arange(self.rows, dtype=np.int64) % self.size)
        self._cursor = -1  # where the present batch begins in the epoch

    def shuffle(self, key: np.ndarray, epoch: int, order: Order = "shuffled") -> None:
        self._cursor = -1  # the order is the stream's

    def ready(self, cursor: int, size: int, steps: int) -> int:
        """Takes the next batch of the stream for the step at `cursor`; one step can start."""
        if cursor == self._cursor:
            return 1
        batch = self.learned(self.batches.next())
        arrays = {"x": self.x, "y": self.y}
        for name, array in arrays.items():
            given = None if getattr(batch, name) is None else flat(getattr(batch, name))
            if given is None or given.shape != array.shape:
                found = "missing" if given is None else f"of shape {given.shape}"
                raise ShapeError(
                    f"Batches: {name} of a batch is {found}; expected {tuple(array.shape)} as in the first; leave "
                    "a smaller last batch out, as DataLoader(drop_last=True) does"
                )
            array[...] = self.backend.asarray(np.asarray(given, dtype=array.dtype))
        if (batch.weight is None) != (self.weight is None):
            raise ShapeError("Batches: some batches have weights and some have none; expected all alike")
        if self.weight is not None:
            self.weight[...] = self.backend.asarray(scaled_weight(batch).astype(self.weight.dtype))  # pyright: ignore
        self._cursor = cursor
        return 1
