"""Training to a target loss, timed: steps, examples and seconds until it is reached."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ....dl.data import Dataset
from ....dl.training.loop import Loop
from ....dl.training.trainer import Trainer

GROWTH = 1.05  # from one look at the loss to the next, in steps
WARM_UP = 40  # steps: compiled and, on a GPU, captured


@dataclass(frozen=True)
class Arrival:
    """When a run reached the target; None if it was ended before, after `taken` steps."""

    steps: float | None
    examples: float | None
    seconds: float | None
    taken: int


class SteppedTraining:
    """Trains as `Trainer.fit` does, some steps at a time, over shuffled epochs.

    The loss is computed on the data `looked_at`.
    """

    def __init__(self, trainer: Trainer, data: Dataset, batch: int, looked_at: Dataset | None = None) -> None:
        self.trainer, self.state = trainer, trainer.state
        self.loop = Loop(trainer, data, None, batch)
        self.evaluate = trainer.evaluator(looked_at or data)
        self.initial = self.state.pack()
        self.epoch = 0
        self.run(WARM_UP)
        self.reset()

    def reset(self) -> None:
        """Resets to the initial weights."""
        self.state.unpack(self.initial, 0, 0)
        self.state.begin_epoch()
        self.epoch = 0

    def loss(self) -> float:
        """The current loss, without dropout; NaN after a non-finite step."""
        return math.nan if self.state.failed_step() >= 0 else self.evaluate()["loss"]

    def run(self, steps: int) -> float:
        """Runs steps; returns the seconds on the device's clock."""
        return self.trainer.backend.seconds(lambda: self._run(steps))

    def until(self, target: float, first: int, most: Callable[[int, float], bool]) -> Arrival:
        """Trains until the loss reaches the target; checks it after `first` steps, then less and less often.

        ``most(steps, seconds)`` tells whether to give the run up after so many steps and seconds.
        """
        seconds, last, before = 0.0, (0, 0, 0.0), math.nan
        steps = max(1, first)
        while True:
            seconds += self.run(steps - last[0])
            loss = self.loss()
            if loss <= target:
                part = 1.0 if math.isnan(before) else math.log(before / target) / math.log(before / loss)
                here = (steps, self.examples, seconds)
                reached = [a + part * (b - a) for a, b in zip(last, here, strict=True)]
                return Arrival(*reached, taken=steps)
            if not math.isfinite(loss) or most(steps, seconds):
                return Arrival(None, None, None, steps)
            last, before = (steps, self.examples, seconds), loss
            steps = max(steps + 1, math.ceil(GROWTH * steps))

    @property
    def examples(self) -> int:
        """Rows seen so far."""
        return self.epoch * self.loop.data.rows + self.state.cursor

    def _run(self, steps: int) -> None:
        self.epoch = self.loop.stepper.take(steps, self.epoch)
