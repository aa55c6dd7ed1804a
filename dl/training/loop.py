"""The loop over epochs and batches of one `Trainer.fit`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from ...backends import compile_time
from ...backends.errors import ConfigurationError, DataError, NonFiniteLoss, ShapeError
from ...backends.ranks import Ranks
from ..data import Dataset
from ..data.batches import BatchRows
from ..data.mapped import MappedFiles
from ..data.rows import Order, flat
from ..data.streamed import rows_of
from ..optimizers.schedules import Schedule
from ..step.device_exchange import DeviceExchange
from ..step.evaluation import check_data
from ..step.exchange import Exchange
from ..step.memory import Demand
from ..step.plan import TICK, Plan
from ..step.program import Program
from ..step.spec import StepSpec
from ..step.stepper import Stepper
from .callbacks import Callback
from .joining import check_agreement, settings_of
from .training import EVALUATION_ROWS, Training


class Loop:
    """Runs planned steps. The host reads the device only at the end of an epoch and a few times per second."""

    def __init__(
        self,
        trainer: Training,
        data: Dataset,
        validation: Dataset | None,
        batch_size: int,
        loss_goal: float | None = None,
        order: Order = "shuffled",
        accumulate: int = 1,
        batches: BatchRows | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.trainer, self.accumulate, self.ranks = trainer, accumulate, ranks
        spec, optimizer = trainer.spec, type(trainer.optimizer).__name__
        if validation is not None and flat(validation.x).shape[1] != flat(data.x).shape[1]:
            raise ShapeError(f"validation: x has rows of shape {validation.x.shape[1:]}, expected {data.x.shape[1:]}")
        demand = Demand.of(spec, trainer.backend, data, validation, EVALUATION_ROWS)
        for part, program in ((data, demand.training), (validation, demand.evaluation)):
            if part is not None and program is not None:
                try:
                    check_data(part, program, spec.loss)
                except (DataError, ShapeError) as error:
                    raise type(error)(f"{'' if part is data else 'validation: '}{error}") from None
        streamed = demand.must_stream(-(-batch_size // accumulate), started=trainer.started)
        self.state = state = trainer.state
        self.files = MappedFiles(data.x, None if validation is None else validation.x)
        self.data = batches or rows_of(trainer.backend, data, min(batch_size, len(data)), streamed)
        if state.cursor >= self.data.rows:
            raise DataError(
                f"training was stopped at row {state.cursor} of an epoch, but the data set has {self.data.rows} rows: "
                "go on with the data that it began with"
            )
        if trainer.optimizer.full_batch and batch_size < self.data.rows:
            raise ConfigurationError(
                f"batch_size is {batch_size:,}, but {optimizer} compares successive gradients of the same function, so "
                f"each step must see all {self.data.rows:,} rows; use batch_size={self.data.rows}"
            )
        self.batch_size = batch_size
        self._bound_for = spec.bound_into_plan()
        kind = DeviceExchange if trainer.backend.captures else Exchange
        self.exchange = None if ranks is None else kind(ranks, state, lambda: trainer.stopped)
        self.stepper = self._stepper(spec, demand.training)
        capacity = max(batch_size, EVALUATION_ROWS)
        self.validate = None
        if validation is not None:
            self.validate = trainer.evaluator(validation, capacity, streamed, demand.evaluation, ranks)
        self.order: Order = order
        self.measure: Callable[[], dict[str, float]] | None = None  # further measures of the validation data
        self.loss_goal = -math.inf if loss_goal is None else loss_goal

    def _stepper(self, spec: StepSpec, program: Program | None = None) -> Stepper:
        given = {"accumulate": self.accumulate, "program": program, "exchange": self.exchange}
        return Stepper(spec, self.state, self.data, self.batch_size, **given)

    def _follow(self) -> Stepper:
        """Applies settings that users changed since the last steps; returns the stepper for the next steps."""
        trainer, spec = self.trainer, self.trainer.spec
        now = spec.bound_into_plan()
        if now != self._bound_for:
            trainer.check()
        self.state.follow(spec.optimizer, spec.schedule, spec.groups)
        if now != self._bound_for:
            del self.stepper  # frees its memory for the next one
            self.stepper = self._stepper(spec)
            self._bound_for = now
        return self.stepper

    @property
    def plan(self) -> Plan:
        """The bound step."""
        return self.stepper.plan

    def run(self, callbacks: Sequence[Callback]) -> None:
        """Trains up to ``trainer.epochs`` finished epochs, or until ``trainer.stopped``."""
        trainer, state = self.trainer, self.state
        trainer.samples = self.data.rows
        self._agree()
        while trainer.epoch < trainer.epochs and not self.stopped:
            for callback in callbacks:
                callback.on_epoch_begin(trainer)
            self.files.check()
            if isinstance(trainer.schedule, Schedule):
                trainer.schedule.observe(trainer.history.records)
            start, compiled, first = time.perf_counter(), compile_time.spent(), state.cursor
            with trainer.turns:
                self._show_average(False)
                self.stepper.begin_epoch(trainer.epoch, self.order)
            try:
                whole = self._epoch(callbacks)
            finally:
                with trainer.turns:
                    self._show_average(True)
            if not whole:
                return
            with trainer.turns:
                trainer.epoch += 1
                seconds, totals = time.perf_counter() - start, trainer.totals()
                state.begin_epoch()  # before validation, so that training can continue if validation fails
                if self.exchange is not None:
                    self.exchange.synchronize()
                speed = (self.data.rows - first) / max(seconds - (compile_time.spent() - compiled), 1e-9)
                record = self._record(totals, seconds, speed)
                if trainer.early_stopping.patience is not None:
                    self._watch(record)
                if record["loss"] <= self.loss_goal:
                    trainer.stop(trainer.stopped or "loss")
                self._agree()
                trainer.goes_on = trainer.epoch < trainer.epochs and trainer.stopped not in ("patience", "loss")
                trainer.history.records.append(record)
            for callback in callbacks:
                callback.on_epoch_end(trainer, record)

    @property
    def stopped(self) -> str:
        """Why training ends: several ranks must have agreed on it."""
        return self.trainer.stopped if self.exchange is None else self.exchange.agreed

    def _agree(self) -> None:
        """Between epochs, all ranks stop if one of them was asked to."""
        if self.exchange is not None:
            check_agreement(self.exchange.ranks, {"a setting of the training": settings_of(self.trainer.spec)})
            wishes = self.exchange.ranks.gather(self.trainer.stopped)
            self.exchange.agreed = next(filter(None, wishes), "")
            if self.exchange.agreed:
                self.trainer.stop(self.exchange.agreed)

    def _epoch(self, callbacks: Sequence[Callback]) -> bool:
        """Runs to the end of the epoch; False if training was stopped before."""
        looked = time.perf_counter()
        self._began = self.state.step, self.state.cursor
        while self.stepper.left:
            with self.trainer.turns:
                stepper = self._follow()
                try:
                    stepper.run()
                except BaseException:
                    stepper.recover()
                    raise
            if self.exchange is not None and (self.exchange.agreed or self.state.failed_step() >= 0):
                self._check_finite()
                self.trainer.stop(self.exchange.agreed)
            if time.perf_counter() - looked >= TICK and stepper.left:
                looked = time.perf_counter()
                self._check_finite()
                for callback in callbacks:
                    callback.on_tick(self.trainer)
            if self.stopped and stepper.left:
                self._check_finite()  # the next checkpoint must not contain a failed step
                return False
        self._check_finite()
        return True

    def _record(self, totals: dict[str, float], seconds: float, speed: float) -> dict[str, float]:
        record = {"epoch": self.trainer.epoch, "step": self.state.step, **totals}
        if self.validate is not None:
            record |= {f"validation_{name}": value for name, value in self.validate().items()}
        if self.measure is not None:
            record |= self.measure()
        lr = self.state.lr(self.state.step - 1)
        record |= {"lr": lr, "seconds": seconds, "samples_per_second": speed}
        return record if self.ranks is None else self.ranks.share(lambda: record)

    def _show_average(self, shown: bool) -> None:
        """Puts the average of the weights into the model, or the weights themselves, if there is an average."""
        if self.state.average is not None:
            self.state.average.show(shown)

    def _watch(self, record: dict[str, float]) -> None:
        trainer, watch = self.trainer, self.trainer.early_stopping
        if watch.improved(record):
            watch.weights = self.state.arena.pack(self.state.arena.values)
        elif watch.exhausted(trainer.epoch):
            trainer.stop(trainer.stopped or "patience")

    def _check_finite(self) -> None:
        """Raises an error if a step's loss was not finite, after running that step again to find the layer."""
        failed = self.state.failed_step()
        if failed < 0:
            return
        with self.trainer.turns:
            layer = self.stepper.first_not_finite(failed, self._began)
            if self.ranks is not None:
                layer = next((found for found in self.ranks.gather(layer) if found != "loss"), layer)
        raise NonFiniteLoss(
            f"the loss is not finite at step {failed} (epoch {self.trainer.epoch + 1}), learning rate "
            f"{self.state.lr(failed):g}: it begins in layer {layer!r}. Weights are those before the step; try a lower "
            "learning rate, clipping by norm, or look at the data"
        )
