"""The timed training steps and epochs: what `Trainer.fit` runs, at one batch size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ....backends import Backend
from ....backends.errors import NonFiniteLoss
from ....dl.data import Dataset
from ....dl.data.resident import Resident
from ....dl.step.plan import Plan, quietly
from ....dl.step.plans import plan_of
from ....dl.step.state import TABLE
from ....dl.step.stepper import Stepper
from ....dl.training.loop import Loop
from ....dl.training.trainer import Trainer

ROWS = 1 << 16  # rows of an order that is gone through again and again


class TimedSteps:
    """Whole training steps on shuffled rows of the data; rows are repeated if the batch is larger than the data.

    Raises
    ------
    DeviceMemoryError
        The buffers do not fit.
    """

    def __init__(self, trainer: Trainer, data: Resident, batch: int, make: Callable[..., Plan] = plan_of) -> None:
        self.state, self.batch, self.backend = trainer.state, batch, trainer.backend
        self.turns = max(1, min(TABLE, ROWS // batch))
        order = np.random.default_rng(0).permutation(data.rows).astype(np.int64)
        rows = data.in_order(np.resize(order, batch * self.turns))
        self.stepper = Stepper(trainer.spec, self.state, rows, batch, plan=make)
        self.plan = self.stepper.plan
        self.initial = self.state.pack()

    def reset(self) -> None:
        """Resets to the initial weights; the cost of a step does not depend on them."""
        self.state.unpack(self.initial, 0, 0)
        self.state.prepare(1)
        self.state.begin_epoch()

    def run(self, steps: int) -> None:
        """Runs further steps."""
        self.stepper.take(steps)

    def timed(self, steps: int) -> float:
        """Seconds per step, on the device's clock, from the initial weights on."""
        self.reset()
        return self.backend.seconds(lambda: self.run(steps)) / steps

    @property
    def short_handed(self) -> bool:
        """Whether fewer threads than planned run a step for now."""
        return self.plan.short_handed

    @quietly
    def operations(self) -> list[float]:
        """Seconds of each operation of one step, one after another."""
        self.reset()
        return [self.backend.seconds(call.run) for call in self.plan.bind(self.batch)]


@contextmanager
def launched_one_by_one(backend: Backend) -> Iterator[None]:
    """Steps that are bound here are not captured."""
    before, backend.captures = backend.captures, False
    try:
        yield
    finally:
        backend.captures = before


class TimedEpochs:
    """Whole epochs over the data, shuffled each time."""

    def __init__(self, trainer: Trainer, data: Dataset, batch: int) -> None:
        self.trainer = trainer
        trainer.state.begin_epoch()
        self.initial = trainer.state.pack()
        self.loop = Loop(trainer, data, None, batch)

    def timed(self) -> float | None:
        """Seconds of an epoch from the initial weights; None if the loss turned NaN."""
        trainer = self.trainer
        trainer.state.unpack(self.initial, 0, 0)
        trainer.state.begin_epoch()
        trainer.epoch, trainer.epochs = 0, 1
        try:
            self.loop.run([])
        except NonFiniteLoss:
            return None
        return trainer.history.records.pop()["seconds"]
