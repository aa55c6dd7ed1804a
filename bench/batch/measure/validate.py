"""`gearshift bench --validate`: trains to one loss at several batch sizes and seeds, to check the advice."""

from __future__ import annotations

import math

from ....backends.errors import ConfigurationError
from ....dl.data import Splits
from ....dl.experiment.sections import Configuration
from ..analysis.analyse import critical_batch
from ..analysis.findings import Advice
from ..analysis.trained import by_batch, median
from ..records import Document, Validation
from .sweep import Budget
from .trials import TrainingRuns

SEEDS = 3  # of weights, order and dropout at each batch size
FIRST = 100  # added to the configured seed; different from the seeds for the critical batch size
CLOSE, MORE = 1.2, 9  # times the best one's time up to which a batch size has more seeds, and how many in all
LATE, SOON = 8.0, 1.0  # times the best batch size's time, but not before so many seconds, a run is given up


class Validator:
    """Trains the configured network on the backend of the advice.

    The target is the loss that training as configured reaches in the steps of the noise measurement. Each batch size
    uses the best of several constant learning rates around the rule's, chosen with the first seed. Batch sizes close
    to the best, and the advised one, are trained with further seeds, because the median of three is still off by a few
    per cent.
    """

    def __init__(
        self, document: Document, configuration: Configuration, splits: Splits, given: Advice, budget: Budget
    ) -> None:
        scale = critical_batch(document)
        if document.noise is None or scale is None:
            raise ConfigurationError(f"--validate needs the noise scale: {document.noise_absent or 'not measured'}")
        self.document, self.given, self.budget = document, given, budget
        self.trials = TrainingRuns(
            document.task, configuration, splits, given.backend, scale.value, budget, first=FIRST, note="validation"
        )
        rows = document.task.rows
        measured = [point.batch for point in document.of(given.backend)]
        fitting = {given.batch, *(batch for batch in measured if batch <= rows)}
        self.batches = sorted(fitting, key=lambda batch: (abs(math.log(batch / given.batch)), batch))

    def run(self) -> None:
        """Trains at one batch size after another, starting at the advised one, while there is time.

        Raises
        ------
        Stopped
            By Ctrl-C; finished runs are in the document.
        """
        document, trials = self.document, self.trials
        assert document.noise is not None
        if document.validation is None:
            steps = document.noise.places[-1].step
            document.validation = Validation(
                backend=self.given.backend,
                advised=self.given.batch,
                target=trials.target(steps),
                steps=steps,
                rows=len(trials.looked_at),
            )
        found, factor = document.validation, 1.0
        for place, batch in enumerate(self.batches):
            if self.budget.left() < 0:
                left = ", ".join(f"{one:,}" for one in sorted(self.batches[place:]))
                found.ended = f"the budget ended before batch {left}"
                return
            if not any(trial.batch == batch for trial in found.trials):
                factor = self._batch(found, batch, factor) or factor
        self._repeat(found)

    def _batch(self, found: Validation, batch: int, around: float) -> float | None:
        """Runs all trainings at a batch size; returns the best factor, or None if none reached the target."""
        self.trials.limit = min(max(SOON, LATE * self.trials.best), 0.25 * self.budget.seconds)
        best = self.trials.search(found, batch, around)
        if best is None:
            return None
        for factor in {best, 1.0} if batch == found.advised else {best}:
            known = {trial.seed for trial in found.trials if (trial.batch, trial.factor) == (batch, factor)}
            for seed in range(SEEDS):
                if seed not in known:
                    self.trials.train(found, batch, factor, seed)
        return best

    def _repeat(self, found: Validation) -> None:
        """Trains close batch sizes with further seeds, in turn, while there is time."""
        chosen = by_batch(found)
        seconds = {batch: median(trials, "seconds") for batch, trials in chosen.items()}
        least = min(seconds.values(), default=0.0)
        close = [batch for batch in seconds if batch == found.advised or seconds[batch] <= CLOSE * least]
        for seed in range(SEEDS, MORE):
            for batch in close:
                factor = chosen[batch][0].factor
                known = {(trial.batch, trial.factor, trial.seed) for trial in found.trials}
                if self.budget.left() > 0 and (batch, factor, seed) not in known:
                    self.trials.train(found, batch, factor, seed)
