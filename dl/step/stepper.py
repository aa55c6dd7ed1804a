"""Prepares, runs and counts training steps over rows of data."""

from __future__ import annotations

from collections.abc import Callable

from ...backends.errors import ConfigurationError
from ...kernels.counters import FAILED, STEP
from ..data.rows import Order, Rows
from .accumulating import AccumulatingPlan
from .exchange import Exchange
from .explanation import log_what_prevents
from .on_host import StepwisePlan
from .plan import Plan
from .plans import plan_of
from .program import Program, training
from .shared import together
from .spec import StepSpec
from .state import TrainingState


class Stepper:
    """Runs training steps over the epochs of a data set.

    The position is part of the training state: `state.step`, and the row `state.cursor` of the epoch. A new stepper can
    therefore continue at any time.

    Parameters
    ----------
    spec : the specification of a step.
    state : the run's arrays.
    data : rows that the state's backend can read.
    batch_size : rows of a step, at most those of `data`; an epoch's last step has the remaining rows.
    accumulate : number of parts of a batch.
    program : the lowered step; by default it is lowered here.
    plan : makes the plan of a step that needs neither the host nor gradient accumulation.
    exchange : connects the ranks that train together, if there are several; this one takes its part of each batch.

    Attributes
    ----------
    plan : the bound step.
    """

    def __init__(
        self,
        spec: StepSpec,
        state: TrainingState,
        data: Rows,
        batch_size: int,
        *,
        accumulate: int = 1,
        program: Program | None = None,
        plan: Callable[..., Plan] = plan_of,
        exchange: Exchange | None = None,
    ) -> None:
        self.state, self.data, self.batch_size = state, data, min(batch_size, data.rows)
        self.before, self.exchange = spec.optimizer.before is not None, exchange
        arrays = {"the training state": state.shared, "the data set": data.shared}
        if exchange is not None:
            arrays["the exchange"] = exchange.arrays
        if program is None or exchange is not None:
            lower = None if exchange is None else exchange.lower
            program = training(spec, data.x.shape[1], weighted=data.weight is not None, exchange=lower)
        shared = together(arrays)
        given = data.backend, state.arena, shared, self._rows(self.batch_size)
        if exchange is None:  # between ranks, the gradients are exchanged before the update
            given_spec = spec.model, spec.loss, spec.optimizer
            log_what_prevents(data.backend, program.graph, *given_spec, accumulate)
        if spec.optimizer.on_host:
            if exchange is not None:
                raise ConfigurationError(
                    f"{type(spec.optimizer).__name__} computes its steps in one process, and mpiexec started "
                    f"{exchange.ranks.size}; use an optimizer of gradients, such as Adam"
                )
            if program.graph.activations != program.graph.dtype:
                name = type(spec.optimizer).__name__
                raise ConfigurationError(
                    f"precision is {spec.precision!r}, but {name} compares losses more finely than 16-bit numbers "
                    "allow; use 'float32'"
                )
            self.plan: Plan = StepwisePlan(spec.optimizer, program, *given, rows=data.rows)
        elif accumulate > 1:
            self.plan = AccumulatingPlan(program.graph, *given, parts=accumulate)
        else:
            self.plan = plan(program.graph, *given)

    def begin_epoch(self, epoch: int, order: Order = "shuffled") -> None:
        """Draws the row order of an epoch, and starts the epoch unless it has been started."""
        self.data.shuffle(self.state.key, epoch, order)
        if self.exchange is not None:
            self.exchange.arrange(self.data, self.state.cursor, self.batch_size)
        if not self.state.cursor:
            self.state.begin_epoch()

    @property
    def left(self) -> int:
        """Rows left in the epoch."""
        return self.data.rows - self.state.cursor

    @property
    def size(self) -> int:
        """Rows of the next step."""
        return min(self.batch_size, self.left)

    def _rows(self, size: int) -> int:
        """Rows that this process computes of a batch of `size` rows."""
        return size if self.exchange is None else self.exchange.rows(size)

    def run(self, most: int | None = None) -> int:
        """Starts at most `most` steps of the epoch; returns how many.

        It returns after about a quarter of a second, for progress and signals.
        """
        whole, size = max(1, self.left // self.batch_size), self.size
        steps = self.state.prepare(whole if most is None else min(most, whole))
        steps = self.data.ready(self.state.cursor, size, steps)
        done = self.plan.run(size, steps) if self.exchange is None else self.exchange.run(self.plan, size, steps)
        self.state.advanced(done, size)
        return done

    def take(self, steps: int, epoch: int = 0) -> int:
        """Takes exactly `steps` steps, beginning in epoch number `epoch`; returns the number of the last epoch."""
        while steps:
            if not self.left:
                self.state.begin_epoch()
                epoch += 1
            if not self.state.cursor:
                self.begin_epoch(epoch)
            steps -= self.run(steps)
        return epoch

    def recover(self) -> None:
        """After an error inside `run`: goes back to the interrupted step, so that training can continue."""
        state, size = self.state, self.size
        done = int(state.counters[STEP]) - state.step
        if self.before:  # the update of a failed step puts moved weights back
            state.counters[FAILED] = state.counters[STEP]
            self.plan.once(self._rows(size), "update")
        state.rewind(state.step + done, state.cursor + done * size)
        self.data.restart()

    def first_not_finite(self, step: int, began: tuple[int, int]) -> str:
        """Goes back to a step whose loss was not finite, and returns the layer that caused it.

        `began` is the step and the cursor at the start of the current call.
        """
        state, (first, cursor) = self.state, began
        cursor += (step - first) * self.batch_size
        rows = min(self.batch_size, self.data.rows - cursor)
        state.rewind(step, cursor)
        self.data.restart()
        self.data.ready(cursor, rows, 1)
        weights = state.arena.values.copy()  # the look may move them ahead, as the step did
        if self.exchange is not None:
            self.exchange.begin(rows)
        layer = self.plan.first_not_finite(self._rows(rows)) or "loss"
        state.arena.values[...] = weights
        return layer
