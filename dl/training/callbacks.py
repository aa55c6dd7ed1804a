"""Callbacks: the hooks of a training run."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from ...backends.errors import ConfigurationError
from .history import History
from .training import Training

logger = logging.getLogger(__name__)


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


def checked_callbacks(callbacks: Any) -> list[Callback]:
    """The callbacks of `Trainer.fit` as a list; a method that looks like a hook but is none is logged.

    Raises
    ------
    ConfigurationError
        They are not a sequence of `Callback` objects.
    """
    if not isinstance(callbacks, Iterable):
        raise ConfigurationError(f"fit: callbacks is {callbacks!r}; expected a list, as callbacks=[…]")
    hooks = [name for name in vars(Callback) if name.startswith("on_")]
    for callback in (found := [*callbacks]):
        if isinstance(callback, type) or not hasattr(callback, "on_train_begin"):
            raise ConfigurationError(f"fit: callbacks has {callback!r}; expected a gearshift Callback object")
        for name in dir(callback):
            if name.startswith("on_") and name not in hooks and get_close_matches(name, hooks):
                own = type(callback).__name__
                logger.warning("%s.%s is never called; the hooks are %s", own, name, ", ".join(hooks))
    return found
