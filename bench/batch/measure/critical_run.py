"""Short trainings around the batch size that the noise scale advises, to measure the critical batch size itself."""

from __future__ import annotations

from ....dl.data import Splits
from ....dl.experiment.sections import Configuration
from ..analysis.analyse import noise_scale
from ..analysis.findings import Advice
from ..records import Document, Trainings
from .sweep import Budget
from .trials import TrainingRuns

LADDER = (1, 4, 1 / 4, 16, 1 / 16, 64, 1 / 64)  # times the advised batch size, in this order
BATCHES = 4
RUNS = 24  # that the time is for, each as long as the configured one takes to the target
FEWEST = 16  # steps as configured; a target that is nearer says nothing
SEEDS = 5  # at the best rate, at most
LATE = 4.0  # times the fastest run's seconds, but not before those planned for one, a run is given up


def batches_around(advised: int, rows: int) -> list[int]:
    """The batch sizes to train at: factors of four, up to the number of rows."""
    ladder = (round(advised * factor) for factor in LADDER)
    return [batch for batch in ladder if 1 <= batch <= rows][:BATCHES]


def measure(
    document: Document, configuration: Configuration, splits: Splits, given: Advice, budget: Budget, seconds: float
) -> None:
    """Trains at four batch sizes to one loss, each with the best of several learning rates; then with further seeds.

    The target is the loss that training as configured reaches in the steps of the noise measurement, or in fewer if
    time is short. If even a few steps take too long, nothing is recorded.

    Raises
    ------
    Stopped
        By Ctrl-C; finished runs are in the document.
    ConfigurationError
        Training as configured does not reach a usable target loss.
    """
    scale, task = noise_scale(document), document.task
    assert scale is not None and document.noise is not None
    end = budget.spent + seconds
    trials = TrainingRuns(task, configuration, splits, given.backend, scale.value, budget, note="critical batch size")
    curve = {point.batch: point.step_seconds for point in document.of(given.backend)}
    near = min(curve, key=lambda batch: abs(batch - trials.before))
    each = seconds / RUNS
    steps = min(document.noise.places[-1].step, int(each / curve[near]))
    if steps < FEWEST:
        return
    found = Trainings(backend=given.backend, target=trials.target(steps), steps=steps, rows=len(trials.looked_at))
    document.trainings = found
    factors: dict[int, float] = {}
    factor = 1.0
    for batch in batches_around(given.batch, task.rows):
        if budget.spent > end:
            found.ended = f"the budget ended before batch {batch:,}"
            return
        trials.limit = max(each, LATE * min(each, trials.best))
        best = trials.search(found, batch, factor)
        if best is not None:
            factors[batch] = factor = best
    for seed in range(1, SEEDS):
        for batch, factor in factors.items():
            if budget.spent < end:
                trials.train(found, batch, factor, seed)
