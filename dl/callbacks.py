"""What can be done along the way: the hooks of a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .history import History
    from .trainer import Trainer


class Callback:
    """Every hook, doing nothing. ``trainer.stop()`` in any of them ends training at the next batch boundary."""

    def on_train_begin(self, trainer: Trainer) -> None:
        """Called once, before the first step."""

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Called before each epoch; ``trainer.epoch`` epochs are finished."""

    def on_tick(self, trainer: Trainer) -> None:
        """Called between batches, at most four times a second: ``trainer.step`` steps were taken."""

    def on_epoch_end(self, trainer: Trainer, record: dict[str, float]) -> None:
        """Called after each epoch and its validation, with the epoch's record, which may be added to."""

    def on_train_end(self, trainer: Trainer, history: History) -> None:
        """Called once, also after an interrupt or an error."""
