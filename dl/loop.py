"""The loop over epochs and batches of one `Trainer.fit`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..backends.errors import ConfigurationError, DataError, NonFiniteLoss
from ..backends.philox import key_of
from .accumulation import AccumulatingPlan
from .callbacks import Callback
from .data import Dataset
from .data.mapped import MappedFiles
from .dense_chain import plan_of
from .memory import must_stream
from .plan import TICK
from .program import step_of
from .resident import Order
from .stepwise import StepwisePlan
from .streamed import rows_of

if TYPE_CHECKING:
    from .trainer import Trainer

EVALUATION_ROWS = 1024  # rows a batch of evaluation at the least


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
        program = step_of(trainer, self.data.x.shape[1], state.arena.size, weighted=self.data.weight is not None)
        shared = {**state.shared, **self.data.shared}
        given = trainer.backend, state.arena, shared, self.batch_size
        if trainer.optimizer.on_host and program.graph.activations != program.graph.dtype:
            raise ConfigurationError(
                f"{type(trainer.optimizer).__name__} does not go with precision {trainer.precision!r}: it compares "
                "losses, or differentiates twice, more finely than such numbers are rounded; take 'float32'"
            )
        if trainer.optimizer.on_host:
            self.plan = StepwisePlan(trainer.optimizer, program, *given, rows=self.data.rows)
        elif accumulate > 1:
            self.plan = AccumulatingPlan(program.graph, *given, parts=accumulate)
        else:
            self.plan = plan_of(program.graph, *given)
        capacity = max(batch_size, EVALUATION_ROWS)
        self.validate = None if validation is None else trainer.evaluator(validation, capacity, streamed)
        self.key = key_of(trainer.seed)
        self.order: Order = order
        self.loss_goal = -math.inf if loss_goal is None else loss_goal

    def run(self, callbacks: Sequence[Callback]) -> None:
        """Trains up to ``trainer.epochs`` finished epochs, or until ``trainer.stopped``."""
        trainer, state = self.trainer, self.state
        trainer.samples = self.data.rows
        while trainer.epoch < trainer.epochs and not trainer.stopped:
            for callback in callbacks:
                callback.on_epoch_begin(trainer)
            self.files.check()
            start, first = time.perf_counter(), state.cursor
            self.data.shuffle(self.key, trainer.epoch, self.order)
            if not first:
                state.begin_epoch()
            if not self._epoch(callbacks):
                return
            trainer.epoch += 1
            seconds, totals = time.perf_counter() - start, trainer.totals()
            state.begin_epoch()  # before validation, so that training can go on where that fails
            record = self._record(totals, seconds, self.data.rows - first)
            if trainer.early_stopping.patience is not None:
                self._watch(record)
            if record["loss"] <= self.loss_goal:
                trainer.stop(trainer.stopped or "loss")
            trainer.history.records.append(record)
            for callback in callbacks:
                callback.on_epoch_end(trainer, record)

    def _epoch(self, callbacks: Sequence[Callback]) -> bool:
        """Runs to the end of the epoch; False where training was stopped before."""
        state, rows = self.state, self.data.rows
        looked = time.perf_counter()
        self._began = state.step, state.cursor
        while state.cursor < rows:
            whole = (rows - state.cursor) // self.batch_size
            size = self.batch_size if whole else rows - state.cursor
            steps = self.data.ready(state.cursor, size, state.prepare(max(whole, 1)))
            done = self.plan.run(size, steps)
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
