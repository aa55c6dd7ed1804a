"""`gearshift bench --validate`: trains to one loss at several batch sizes and seeds, to check the advice."""

from __future__ import annotations

import math

import numpy as np

from ...backends.errors import ConfigurationError
from ...dl import experiment
from ...dl.config import Configuration, ScheduleSection
from ...dl.data import Splits
from . import advice
from .analysis import Advice, noise_scale
from .checked import best_runs, median
from .descent import Arrival, Descent
from .records import Document, Trial, Validation
from .sweep import Budget

SEEDS = 3  # of weights, order and dropout at each batch size
CLOSE, MORE = 1.2, 9  # times the best one's time up to which a batch size has more seeds, and how many in all
ROWS = 4096  # of the training data, on which the loss is looked at
RATES = 6  # tried at a batch size, at most
LATE, SOON = 8.0, 1.0  # times the best batch size's time, but not before so many seconds, a run is given up
EARLY = 20  # the first look comes after so small a part of the configured run's examples


class Validator:
    """Trains the configured network on the backend of the advice.

    The target is the loss that the configured batch size and learning rate reach in as many steps as the noise scale
    was measured over. Each batch size has the best of some learning rates around the one that the rule gives, chosen
    by the first seed; the rate is constant. Batch sizes about as good as the best, and the advised one, then have
    further seeds: of three, the median is still off by some per cent.
    """

    def __init__(
        self, document: Document, configuration: Configuration, splits: Splits, given: Advice, budget: Budget
    ) -> None:
        scale = noise_scale(document)
        if document.noise is None or scale is None:
            raise ConfigurationError(f"--validate needs the noise scale: {document.noise_absent or 'not measured'}")
        self.configuration, self.splits, self.given, self.budget = configuration, splits, given, budget
        self.task, self.noise, self.best = document.task, scale.value, math.inf
        rows, random = len(splits.train), np.random.default_rng(0)
        chosen = random.choice(rows, min(ROWS, rows), replace=False)
        self.looked_at = splits.train[np.sort(chosen)]
        self.steps = document.noise.places[-1].step
        measured = [point.batch for point in document.of(given.backend)]
        fitting = {given.batch, *(batch for batch in measured if batch <= rows)}
        self.batches = sorted(fitting, key=lambda batch: (abs(math.log(batch / given.batch)), batch))
        self.found = document.validation or Validation(
            backend=given.backend, advised=given.batch, target=math.nan, steps=self.steps, rows=len(self.looked_at)
        )
        document.validation = self.found

    def run(self) -> None:
        """Trains at one batch size after the other, away from the advised one, while there is time.

        Raises
        ------
        Stopped
            By Ctrl-C; finished runs are in the document.
        """
        if not math.isfinite(self.found.target):
            self.found.target = self._target()
        factor = 1.0
        for place, batch in enumerate(self.batches):
            if self.budget.left() < 0:
                left = ", ".join(f"{one:,}" for one in sorted(self.batches[place:]))
                self.found.ended = f"the budget ended before batch {left}"
                return
            if not any(trial.batch == batch for trial in self.found.trials):
                factor = self._batch(batch, factor) or factor
        self._repeat()

    def _repeat(self) -> None:
        """Further seeds for what is close, one for each batch size in turn, while there is time."""
        chosen = {batch: best_runs(self.found, batch) for batch in self.batches}
        seconds = {batch: median(trials, "seconds") for batch, trials in chosen.items() if trials}
        least = min(seconds.values(), default=0.0)
        close = [batch for batch in seconds if batch == self.given.batch or seconds[batch] <= CLOSE * least]
        for seed in range(SEEDS, MORE):
            for batch in close:
                factor = chosen[batch][0].factor
                known = {(trial.batch, trial.factor, trial.seed) for trial in self.found.trials}
                if self.budget.left() > 0 and (batch, factor, seed) not in known:
                    self._trial(batch, factor, seed)

    def _target(self) -> float:
        self.budget.note(f"validation: {self.steps:,} steps as configured, for the target")
        run = self._begin(min(self.task.batch_size, self.task.rows), self.task.lr, 0)
        run.run(self.steps)
        loss = run.loss()
        if not math.isfinite(loss) or loss <= 0:
            raise ConfigurationError(f"--validate: training as configured ends in a loss of {loss:g}")
        return loss

    def _batch(self, batch: int, around: float) -> float | None:
        """All runs at a batch size; the factor of the rule's rate that was best, None where none reached the target."""
        tried: dict[float, float] = {}
        waiting = [around, 2 * around, around / 2]
        while waiting:
            factor = waiting.pop(0)
            tried[factor] = self._trial(batch, factor, 0, min([math.inf, *tried.values()])) or math.inf
            best = min(tried, key=lambda one: tried[one])
            if not waiting and len(tried) < RATES:
                waiting = [one for one in (best / 2, 2 * best) if one not in tried and math.isfinite(tried[best])][:1]
        if not math.isfinite(tried[best]):
            return None
        for factor in {best, 1.0} if batch == self.given.batch else {best}:
            first = 0 if factor not in tried else 1
            for seed in range(first, SEEDS):
                self._trial(batch, factor, seed)
        mine = [trial.seconds for trial in self.found.trials if trial.batch == batch and trial.factor == best]
        reached = [seconds for seconds in mine if seconds is not None]
        self.best = min(self.best, float(np.median(reached)) if reached else math.inf)
        return best

    def _trial(self, batch: int, factor: float, seed: int, most: float = math.inf) -> float | None:
        """Trains to the target; steps, None where it was not reached in `most` steps or within the time."""
        task = self.task
        self.budget.note(f"validation: batch {batch:,}, rate {factor:g}× the rule's, seed {seed}")
        rule = advice.learning_rate(task.optimizer, task.lr, min(task.batch_size, task.rows), batch, self.noise)
        run = self._begin(batch, factor * rule, seed)
        end = min(max(SOON, LATE * self.best), 0.25 * self.budget.seconds)
        examples = self.steps * min(task.batch_size, task.rows)
        arrival: Arrival = run.until(
            self.found.target,
            examples // (EARLY * batch),
            lambda steps, seconds: steps >= most or seconds > end or self.budget.stopped,
        )
        if arrival.steps is None and self.budget.stopped:
            return None  # ended by Ctrl-C, which says nothing of this rate
        self.found.trials.append(Trial(batch=batch, factor=factor, lr=factor * rule, seed=seed, **vars(arrival)))
        return arrival.steps

    def _begin(self, batch: int, lr: float, seed: int) -> Descent:
        given = self.configuration
        changed = given.model_copy(
            update={
                "optimizer": given.optimizer.model_copy(update={"lr": lr}),
                "schedule": ScheduleSection(),
                "train": given.train.model_copy(update={"seed": given.train.seed + seed}),
            }
        )
        trainer = experiment.build_trainer(changed, self.splits, self.given.backend)
        return Descent(trainer, self.splits.train, batch, self.looked_at)
