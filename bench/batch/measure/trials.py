"""Training runs of the user's network to one loss, for several batch sizes, learning rates and seeds."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from ....backends.errors import ConfigurationError
from ....dl.data import Splits
from ....dl.experiment import build as experiment
from ....dl.experiment.sections import Configuration, ScheduleSection
from ..analysis import advice
from ..records import Task, TrainingRun, Trainings
from .descent import Arrival, SteppedTraining
from .sweep import Budget

ROWS = 4096  # rows of the training data on which the loss is computed
RATES = 6  # tried at a batch size, at most
EARLY = 20  # the loss is first computed after this share of the configured run's examples


class Known(Splits):
    """Splits whose means and deviations are computed once, for many trainers."""

    @cached_property
    def _found(self) -> tuple[np.ndarray, np.ndarray]:
        return super().standardization()

    def standardization(self) -> tuple[np.ndarray, np.ndarray]:
        """As `Splits.standardization`."""
        return self._found


class TrainingRuns:
    """Trains the configured network on one backend, at constant learning rates.

    Parameters
    ----------
    noise : the critical batch size for the rule `advice.learning_rate`; learning rates are factors of its result.
    first : the first seed, which is added to the configured one.
    note : the name of the runs in the progress bar.

    Attributes
    ----------
    limit : seconds after which a run is abandoned.
    best : seconds of the fastest run so far.
    """

    def __init__(
        self,
        task: Task,
        configuration: Configuration,
        splits: Splits,
        backend: str,
        noise: float,
        budget: Budget,
        *,
        first: int = 0,
        note: str = "training",
    ) -> None:
        self.task, self.configuration, self.backend, self.noise = task, configuration, backend, noise
        self.splits = Known(splits.train, splits.validation, splits.test, splits.classes, splits.name)
        self.budget, self.first, self.note = budget, first, note
        self.looked_at = splits.train.sample(ROWS)
        self.before = min(task.batch_size, task.rows)
        self.limit = self.best = math.inf

    def target(self, steps: int) -> float:
        """The loss that training as configured reaches in so many steps.

        Raises
        ------
        ConfigurationError
            The loss cannot be a target.
        """
        self.budget.note(f"{self.note}: {steps:,} steps as configured, for the target")
        run = self._begin(self.before, self.task.lr, 0)
        run.run(steps)
        loss = run.loss()
        baseline = run.trainer.baseline(self.looked_at)
        if not math.isfinite(loss) or loss <= 0 or (baseline is not None and loss >= baseline):
            raise ConfigurationError(
                f"training as configured ends in a loss of {loss:g}, which is no target"
                + ("" if baseline is None else f"; one answer for all rows has {baseline:g}")
            )
        return loss

    def search(self, found: Trainings, batch: int, around: float) -> float | None:
        """Tries learning rates with the first seed; returns the best factor, or None if none reached the target."""
        tried: dict[float, float] = {}
        waiting = [around, 2 * around, around / 2]
        while waiting:
            factor = waiting.pop(0)
            tried[factor] = self.train(found, batch, factor, 0, min([math.inf, *tried.values()])) or math.inf
            best = min(tried, key=lambda one: tried[one])
            if not waiting and len(tried) < RATES:
                waiting = [one for one in (best / 2, 2 * best) if one not in tried and math.isfinite(tried[best])][:1]
        return best if math.isfinite(tried[best]) else None

    def train(self, found: Trainings, batch: int, factor: float, seed: int, most: float = math.inf) -> float | None:
        """Trains to the target; returns the steps, or None if it was not reached in `most` steps or in time."""
        task = self.task
        self.budget.note(f"{self.note}: batch {batch:,}, rate {factor:g}× the adapted one, seed {seed}")
        rule = advice.learning_rate(task.optimizer, task.lr, self.before, batch, self.noise)
        run = self._begin(batch, factor * rule, self.first + seed)
        arrival: Arrival = run.until(
            found.target,
            found.steps * self.before // (EARLY * batch),
            lambda steps, seconds: steps >= most or seconds > self.limit or self.budget.stopped,
        )
        if arrival.steps is None and self.budget.stopped:
            return None  # ended by Ctrl-C, which says nothing of this rate
        found.trials.append(TrainingRun(batch=batch, factor=factor, lr=factor * rule, seed=seed, **vars(arrival)))
        self.best = min(self.best, arrival.seconds or math.inf)
        return arrival.steps

    def _begin(self, batch: int, lr: float, seed: int) -> SteppedTraining:
        given = self.configuration
        changed = given.model_copy(
            update={
                "optimizer": given.optimizer.model_copy(update={"lr": lr}),
                "schedule": ScheduleSection(),
                "train": given.train.model_copy(update={"seed": given.train.seed + seed}),
            }
        )
        trainer = experiment.build_trainer(changed, self.splits, self.backend)
        return SteppedTraining(trainer, self.splits.train, batch, self.looked_at)
