"""The loop over epochs and batches of one `Trainer.fit`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..backends.errors import ConfigurationError, DataError, NonFiniteLoss
from ..backends.philox import key_of
from ..kernels.counters import FAILED, STEP
from .accumulation import AccumulatingPlan
from .callbacks import Callback
from .data import Dataset
from .data.mapped import MappedFiles
from .dense_chain import plan_of
from .explanation import log_what_prevents
from .memory import must_stream
from .plan import TICK, Plan
from .program import step_of
from .resident import Order
from .settings import snapshot
from .shared import together
from .stepwise import StepwisePlan
from .streamed import rows_of

if TYPE_CHECKING:
    from .trainer import Trainer

EVALUATION_ROWS = 1024  # rows a batch of evaluation at the least


def bound_into_steps(trainer: Trainer) -> Any:
    """The settings that a plan of training steps is made for: where they change, another one is made."""
    settings = trainer.clip_norm, trainer.clip_value, trainer.regularizer, trainer.seed, trainer.precision
    parts = trainer.model, trainer.loss, trainer.optimizer, trainer.schedule, trainer.groups, trainer.backend
    return snapshot(settings), *map(id, parts)


class Loop:
    """Runs planned steps; the host looks at the device at ticks and at the end of an epoch, and not in between."""

    def __init__(
        self,
        trainer: Trainer,
        data: Dataset,
        validation: Dataset | None,
        batch_size: int,
        loss_goal: float | None = None,
        order: Order = "shuffled",
        accumulate: int = 1,
    ) -> None:
        self.trainer = trainer
        streamed = must_stream(trainer, data, validation, -(-batch_size // accumulate), EVALUATION_ROWS)
        self.state = state = trainer.state
        self.files = MappedFiles(data.x, None if validation is None else validation.x)
        self.data = rows_of(trainer.backend, data, min(batch_size, len(data)), streamed)
        if state.cursor >= self.data.rows:
            raise DataError(
                f"training was stopped at row {state.cursor} of an epoch, but the data set has {self.data.rows} rows: "
                "go on with the data that it began with"
            )
        self.batch_size = min(batch_size, self.data.rows)
        if trainer.optimizer.full_batch and self.batch_size < self.data.rows:
            raise ConfigurationError(
                f"{type(trainer.optimizer).__name__} compares successive gradients of the same function, so each step "
                f"must see all {self.data.rows:,} rows, but the batch size is {batch_size:,}; give "
                f"batch_size={self.data.rows}"
            )
        self.accumulate = accumulate
        self._bound_for = bound_into_steps(trainer)
        self.plan = self._planned()
        capacity = max(batch_size, EVALUATION_ROWS)
        self.validate = None if validation is None else trainer.evaluator(validation, capacity, streamed)
        self.key = key_of(trainer.seed)
        self.order: Order = order
        self.loss_goal = -math.inf if loss_goal is None else loss_goal

    def _planned(self) -> Plan:
        trainer, state = self.trainer, self.state
        program = step_of(trainer, self.data.x.shape[1], state.arena.size, weighted=self.data.weight is not None)
        shared = together({"the training state": state.shared, "the data set": self.data.shared})
        given = trainer.backend, state.arena, shared, self.batch_size
        if trainer.optimizer.on_host and program.graph.activations != program.graph.dtype:
            raise ConfigurationError(
                f"{type(trainer.optimizer).__name__} does not go with precision {trainer.precision!r}: it compares "
                "losses, or differentiates twice, more finely than such numbers are rounded; take 'float32'"
            )
        log_what_prevents(
            trainer.backend, program.graph, trainer.model, trainer.loss, trainer.optimizer, self.accumulate
        )
        if trainer.optimizer.on_host:
            return StepwisePlan(trainer.optimizer, program, *given, rows=self.data.rows)
        if self.accumulate > 1:
            return AccumulatingPlan(program.graph, *given, parts=self.accumulate)
        return plan_of(program.graph, *given)

    def _follow(self) -> Plan:
        """Takes up what was changed by hand since the steps before; the plan of the next steps."""
        trainer = self.trainer
        now = bound_into_steps(trainer)
        if now != self._bound_for:
            trainer.check()
        self.state.follow(trainer.optimizer, trainer.schedule, trainer.groups)
        if now != self._bound_for:
            del self.plan  # its memory is free for the next one
            self.plan, self._bound_for = self._planned(), now
        return self.plan

    def run(self, callbacks: Sequence[Callback]) -> None:
        """Trains up to ``trainer.epochs`` finished epochs, or until ``trainer.stopped``."""
        trainer, state = self.trainer, self.state
        trainer.samples = self.data.rows
        while trainer.epoch < trainer.epochs and not trainer.stopped:
            for callback in callbacks:
                callback.on_epoch_begin(trainer)
            self.files.check()
            start, first = time.perf_counter(), state.cursor
            with trainer.turns:
                self.data.shuffle(self.key, trainer.epoch, self.order)
                if not first:
                    state.begin_epoch()
            if not self._epoch(callbacks):
                return
            with trainer.turns:
                trainer.epoch += 1
                seconds, totals = time.perf_counter() - start, trainer.totals()
                state.begin_epoch()  # before validation, so that training can go on where that fails
                record = self._record(totals, seconds, self.data.rows - first)
                if trainer.early_stopping.patience is not None:
                    self._watch(record)
                if record["loss"] <= self.loss_goal:
                    trainer.stop(trainer.stopped or "loss")
                trainer.goes_on = trainer.epoch < trainer.epochs and trainer.stopped not in ("patience", "loss")
                trainer.history.records.append(record)
            for callback in callbacks:
                callback.on_epoch_end(trainer, record)

    def _epoch(self, callbacks: Sequence[Callback]) -> bool:
        """Runs to the end of the epoch; False where training was stopped before."""
        state, rows = self.state, self.data.rows
        looked = time.perf_counter()
        self._began = state.step, state.cursor
        while state.cursor < rows:
            with self.trainer.turns:
                plan = self._follow()
                whole = (rows - state.cursor) // self.batch_size
                size = self.batch_size if whole else rows - state.cursor
                steps = self.data.ready(state.cursor, size, state.prepare(max(whole, 1)))
                try:
                    done = plan.run(size, steps)
                except BaseException:
                    self._recover(plan, size)
                    raise
                state.advanced(done, size)
            if time.perf_counter() - looked >= TICK and state.cursor < rows:
                looked = time.perf_counter()
                self._check_finite()
                for callback in callbacks:
                    callback.on_tick(self.trainer)
            if self.trainer.stopped and state.cursor < rows:
                self._check_finite()  # what is saved next must not hold a failed step
                return False
        self._check_finite()
        return True

    def _recover(self, plan: Plan, size: int) -> None:
        """After an error inside a call: goes back to the step that it broke off, where training can go on."""
        state = self.state
        done = int(state.counters[STEP]) - state.step
        if self.trainer.optimizer.before is not None:  # the update of a failed step puts moved weights back
            state.counters[FAILED] = state.counters[STEP]
            plan.once(size, "update")
        state.rewind(state.step + done, state.cursor + done * size)
        self.data.restart()

    def _record(self, totals: dict[str, float], seconds: float, samples: int) -> dict[str, float]:
        record = {"epoch": self.trainer.epoch, "step": self.state.step, **totals}
        if self.validate is not None:
            record |= {f"validation_{name}": value for name, value in self.validate().items()}
        lr = self.state.lr(self.state.step - 1)
        return {**record, "lr": lr, "seconds": seconds, "samples_per_second": samples / seconds}

    def _watch(self, record: dict[str, float]) -> None:
        trainer, watch = self.trainer, self.trainer.early_stopping
        if watch.improved(record):
            watch.weights = self.state.arena.pack(self.state.arena.values)
        elif watch.exhausted(trainer.epoch):
            trainer.stop(trainer.stopped or "patience")

    def _check_finite(self) -> None:
        """Raises where a step's loss was not finite, after running that step again to find the layer."""
        state = self.state
        failed = state.failed_step()
        if failed < 0:
            return
        with self.trainer.turns:
            self._raise_not_finite(failed)

    def _raise_not_finite(self, failed: int) -> None:
        state = self.state
        step, cursor = self._began
        cursor += (failed - step) * self.batch_size
        rows = min(self.batch_size, self.data.rows - cursor)
        state.rewind(failed, cursor)
        self.data.restart()
        self.data.ready(cursor, rows, 1)
        weights = state.arena.values.copy()  # the look may move them ahead, as the step did
        layer = self.plan.first_not_finite(rows) or "loss"
        state.arena.values[...] = weights
        raise NonFiniteLoss(
            f"the loss is not finite at step {failed} (epoch {self.trainer.epoch + 1}), learning rate "
            f"{state.lr(failed):g}: it begins in layer {layer!r}. Weights are those before the step; try a lower "
            "learning rate, clipping by norm, or look at the data"
        )
