"""Callbacks: the hooks of a training run."""

from __future__ import annotations

from typing import Any, Protocol

from ...backends import Backend
from ..layers.base import Layer
from ..losses.losses import Loss
from ..optimizers.base import Optimizer
from ..step.spec import StepSpec
from ..step.state import TrainingState
from ..turns import Turns
from .early_stopping import EarlyStopping
from .history import History


class Training(Protocol):
    """What callbacks, the loop and checkpoints may ask of a trainer; `gearshift.Trainer` is one."""

    model: Layer
    loss: Loss
    optimizer: Optimizer
    seed: int
    backend: Backend
    epoch: int
    epochs: int
    samples: int
    history: History
    early_stopping: EarlyStopping
    goes_on: bool
    introduced: bool
    turns: Turns

    @property
    def spec(self) -> StepSpec: ...
    @property
    def state(self) -> TrainingState: ...
    @property
    def started(self) -> bool: ...
    @property
    def step(self) -> int: ...
    @property
    def stopped(self) -> str: ...
    @property
    def stopping(self) -> bool: ...
    def stop(self, reason: str = "stop") -> None: ...
    def check(self) -> None: ...
    def totals(self) -> dict[str, float]: ...
    def evaluator(self, data: Any, capacity: int = ..., streamed: bool | None = None, program: Any = None) -> Any: ...


class Callback:
    """All hooks; they do nothing by default. ``trainer.stop()`` in a hook ends training at the next batch boundary."""

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
