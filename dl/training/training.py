"""A training run: its settings, its arrays on the backend, and where it stands."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from ... import backends
from ...backends import Backend
from ...backends.errors import ConfigurationError
from ...backends.ranks import Ranks
from ..data import Dataset
from ..data.streamed import rows_of
from ..layers.base import Layer
from ..losses.answers import loss_unit
from ..losses.losses import Loss
from ..optimizers.base import Optimizer
from ..optimizers.groups import ParameterGroup
from ..optimizers.regularizers import Regularizer
from ..optimizers.schedules import Schedule
from ..step.evaluation import Evaluator, Predictor, means
from ..step.memory import exceeds
from ..step.precision import PRECISIONS, check_precision
from ..step.program import Program
from ..step.spec import StepSpec
from ..step.state import TrainingState
from ..turns import Turns
from .arguments import check_trainer
from .early_stopping import EarlyStopping
from .history import History

EVALUATION_ROWS = 1024  # rows per batch of evaluation at the least

FIXED = {
    "model": "make a new Trainer of the other model",
    "seed": "draw other weights with trainer.restart(seed), or make a new Trainer",
    "precision": "save, and load into a Trainer of the other precision",
    "backend": "move with trainer.to(name)",
    "ema": "make a new Trainer of trainer.model",
}
"""Attributes that cannot be replaced during a run, and what to do instead."""


class Training:
    """What the loop, callbacks and checkpoints know of a `gearshift.Trainer`, which is one."""

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        *,
        schedule: Schedule | Callable[[int], float] | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        precision: str | None = None,
        backend: str | None = "auto",
        seed: int = 0,
        groups: Sequence[ParameterGroup] | ParameterGroup = (),
        regularizer: Regularizer | None = None,
        ema: float | None = None,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.schedule, self.regularizer = Schedule() if schedule is None else schedule, regularizer
        self.clip_norm, self.clip_value, self.ema, self.seed = clip_norm, clip_value, ema, seed
        self.groups = (groups,) if isinstance(groups, ParameterGroup) else tuple(groups)
        check_trainer(self)
        self.seed = int(seed)
        self.backend: Backend = backends.get(backend)
        self.precision = precision or model.dtype
        check_precision(self.precision, model.dtype, self.backend)
        self.epoch = self.epochs = self.samples = 0
        self.history = History()
        self.early_stopping = EarlyStopping()
        self.goes_on = self.introduced = self._fitting = False
        self.turns = Turns()
        self._stop = self._stopped = ""
        self._state: TrainingState | None = None
        self._made_for: dict[str, Any] = {}
        self._predictor: Predictor | None = None

    def __repr__(self) -> str:
        return (
            f"Trainer({type(self.model).__name__}, {self.loss!r}, {self.optimizer!r}, backend={self.backend.name!r}, "
            f"precision={self.precision!r}, epoch={self.epoch})"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Everything, with arrays on the host: from it another trainer goes on to the same bits."""
        with self.turns:
            run = None if self._state is None else (self.state.pack(), self.state.step, self.state.cursor)
            own = {"_state": run, "_predictor": None, "_fitting": False, "_made_for": {}}
            return {**vars(self), **own, "history": History([*self.history]), "choices": self.backend.choices}

    def __setstate__(self, own: dict[str, Any]) -> None:
        run, choices = own.pop("_state"), own.pop("choices")
        vars(self).update(own, _state=None)
        self.backend.restore(choices)
        if run is not None:
            self.state.unpack(*run)

    def __copy__(self) -> Self:
        return copy.deepcopy(self)

    @property
    def spec(self) -> StepSpec:
        """What a training step is made of, with the present settings."""
        return StepSpec(
            self.model,
            self.loss,
            self.optimizer,
            self.schedule,
            self.groups,
            self.clip_norm,
            self.clip_value,
            self.regularizer,
            self.precision,
            self.seed,
            self.ema,
        )

    @property
    def state(self) -> TrainingState:
        """The run's arrays; created when first needed, and updated if weights were set from outside."""
        with self.turns:
            return self._present_state()

    def _present_state(self) -> TrainingState:
        self._check_fixed()
        if PRECISIONS[self.precision] != self.model.dtype:  # `astype` was called meanwhile
            check_precision(self.precision, self.model.dtype, self.backend)
        if self._state is None:
            self._state = TrainingState(self.spec, self.backend, self.turns)
            self._made_for = {name: getattr(self, name) for name in FIXED}
        self._state.attach()
        self._state.arena.refresh()
        return self._state

    def check(self) -> None:
        """Checks settings that were changed by hand.

        Raises
        ------
        ConfigurationError
            One has the wrong type or is out of its range, or cannot change once training has begun.
        """
        check_trainer(self)
        self._check_fixed()
        if self._state is not None and len(self._state.totals) != 1 + len(self.loss.metrics):
            raise ConfigurationError(
                f"trainer.loss is {self.loss!r} now, which measures {', '.join(self.loss.metrics)}: training began "
                "with a loss of other measures; make a new Trainer of trainer.model"
            )

    def _check_fixed(self) -> None:
        for name, made_for in self._made_for.items():
            present = getattr(self, name)
            if present is not made_for and (name in ("model", "backend") or present != made_for):
                raise ConfigurationError(f"trainer.{name} cannot change once training has begun: {FIXED[name]}")

    def _settle(self) -> None:
        """Applies settings changed since the last `fit`; before the first step, everything may change."""
        state = self._state
        try:
            self.check()
            if state is not None:
                state.follow(self.optimizer, self.schedule, self.groups)
        except ConfigurationError:
            if state is None or state.step or state.cursor:
                raise
            self._state, self._made_for = None, {}
            self.check()

    @property
    def started(self) -> bool:
        """Whether the run's arrays have been made."""
        return self._state is not None

    @property
    def step(self) -> int:
        """Steps taken since training began."""
        return self._state.step if self._state else 0

    @property
    def stopped(self) -> str:
        """Why training ended early: ``"patience"``, ``"loss"``, ``"interrupt"``, the argument of `stop`, or ""."""
        return self._stop or self._stopped

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called and no `fit` has ended because of it yet."""
        return bool(self._stop)

    def stop(self, reason: str = "stop") -> None:
        """Ends training at the next batch boundary, where it can be saved and resumed.

        Outside `fit`, the next `fit` ends before its first batch.
        """
        self._stop = reason

    @contextmanager
    def _being_trained(self) -> Iterator[None]:
        """Holds the training run for one call of `fit`; another call fails meanwhile."""
        with self.turns:
            if self._fitting:
                raise ConfigurationError(
                    "fit: this trainer is being trained already, by a call of fit that has not ended; wait for that, "
                    "or train a copy, copy.deepcopy(trainer)"
                )
            self._fitting = True
        try:
            yield
        finally:
            self._fitting = False

    def _begin(self, monitor: str, patience: int | None, epochs: int, min_delta: float) -> None:
        """Prepares a `fit`; early stopping starts anew unless this continues a stopped `fit`."""
        if not self.goes_on or monitor != self.early_stopping.monitor:
            self.early_stopping = EarlyStopping(monitor=monitor)
        self.early_stopping.patience, self.early_stopping.min_delta = patience, float(min_delta)
        self._stopped = ""  # a stop asked for since the last `fit` holds
        self.epochs, self.goes_on = self.epoch + epochs, epochs > 0

    def _end(self) -> None:
        """Ends a `fit`: a stop that was asked for has been obeyed."""
        self._stopped, self._stop = self._stop, ""

    def to(self, backend: str) -> None:
        """Moves the run to another backend and frees the memory on the old one.

        Raises
        ------
        BackendUnavailable
            That backend does not run here; nothing has moved.
        ConfigurationError
            It does not support the run's precision; nothing has moved.
        DeviceMemoryError
            The run does not fit there; nothing has moved.
        """
        target = backends.get(backend)
        check_precision(self.precision, self.model.dtype, target)
        with self.turns:
            if self._fitting:
                raise ConfigurationError("to: this trainer is being trained; move it when fit has ended")
            state, made_for, self._predictor = self._state, self._made_for, None
            before, self.backend, self.introduced = self.backend, target, False
            if state is not None:
                self._state, self._made_for = None, {}
                try:
                    self.state.unpack(state.pack(), state.step, state.cursor)
                except BaseException:
                    self.backend, self._state, self._made_for = before, state, made_for
                    raise
            del state
            before.release()

    def restart(self, seed: int) -> None:
        """Draws new weights from `seed` and resets the optimizer's states. The step count continues.

        So the optimizer's bias correction is not that of a first step.
        """
        with self.turns:
            for parameter in self.model.parameters():
                if parameter.trained:
                    parameter.array = parameter.owner = None
            self.model.ensure_initialized(seed)
            state = self.state
            for name in self.optimizer.states:
                state.slots[name][...] = self.optimizer.initial.get(name, 0)
            if self._fitting:
                self.early_stopping.best_epoch = self.epoch  # the best weights stay; patience begins anew
            else:
                self.goes_on = False

    def totals(self) -> dict[str, float]:
        """Means of the metrics over the epoch so far; reads from the device."""
        with self.turns:
            return means(self.backend.to_numpy(self.state.totals), self.loss, loss_unit(self.model, self.loss))

    def evaluator(
        self,
        data: Dataset,
        capacity: int = EVALUATION_ROWS,
        streamed: bool | None = None,
        program: Program | None = None,
        ranks: Ranks | None = None,
    ) -> Evaluator:
        """Evaluates the current weights on a data set, again and again; its targets are as the model learns them.

        `streamed` says whether the data stay on the host; None finds out whether they fit. `program` is the lowered
        evaluation, where there is one already. If `ranks` are given, they evaluate it together.
        """
        if streamed is None:
            streamed = exceeds(self.backend, data)
        unit = loss_unit(self.model, self.loss)
        with self.turns:
            rows = rows_of(self.backend, data, min(capacity, len(data)), streamed)
            return Evaluator(self.spec, self.state.arena, rows, capacity, unit=unit, program=program, ranks=ranks)
