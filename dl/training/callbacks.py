"""Callbacks: the hooks of a training run."""

from __future__ import annotations

from .history import History
from .training import Training


class Callback:
    """All hooks; they do nothing by default. ``trainer.stop()`` in a hook ends training at the next batch boundary.

    Examples
    --------
    >>> class Goal(gs.Callback):
    ...     def on_epoch_end(self, trainer, record):
    ...         if record["accuracy"] > 0.9:
    ...             trainer.stop()
    >>> history = trainer.fit(x, y, epochs=3, callbacks=[Goal()], verbose=False)
    """

    def on_train_begin(self, trainer: Training) -> None:
        """Called once, before the first step."""

    def on_epoch_begin(self, trainer: Training) -> None:
        """Called before each epoch; ``trainer.epoch`` epochs are finished."""

    def on_tick(self, trainer: Training) -> None:
        """Called between batches, at most four times per second; ``trainer.step`` steps have been taken."""

    def on_epoch_end(self, trainer: Training, record: dict[str, float]) -> None:
        """Called after each epoch and its validation, with the epoch's record. The callback may add values to it."""

    def on_train_end(self, trainer: Training, history: History) -> None:
        """Called once, also after an interrupt or an error."""
