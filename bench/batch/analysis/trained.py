"""Analysis of trainings to one loss: steps at each batch size, and the critical batch size. Pure functions."""

from __future__ import annotations

import math

import numpy as np

from ..records import TrainingRun, Trainings
from .hyperbola import Hyperbola, fit

FEWEST = 3  # batch sizes that a hyperbola is fitted to


def best_runs(found: Trainings, batch: int) -> list[TrainingRun]:
    """The runs that reached the target at the best rate: that with several seeds, or else with the fewest steps."""
    reached = reaching(found, batch)
    if not reached:
        return []
    by_factor = {factor: [t for t in reached if t.factor == factor] for factor in {t.factor for t in reached}}
    most = max(len(trials) for trials in by_factor.values())
    return min((t for t in by_factor.values() if len(t) == most), key=lambda trials: median(trials, "steps"))


def by_batch(found: Trainings) -> dict[int, list[TrainingRun]]:
    """Those runs, by batch size."""
    batches = sorted({trial.batch for trial in found.trials})
    return {batch: trials for batch in batches if (trials := best_runs(found, batch))}


def reaching(found: Trainings, batch: int) -> list[TrainingRun]:
    """The runs that reached the target, at all rates."""
    return [trial for trial in found.trials if trial.batch == batch and trial.steps is not None]


def median(trials: list[TrainingRun], name: str) -> float:
    """Of a number of the runs."""
    return float(np.median([getattr(trial, name) for trial in trials]))


def hyperbola(found: Trainings, expected: float | None = None) -> Hyperbola | None:
    """The hyperbola at the best learning rates; None with fewer than three batch sizes.

    `expected` is the noise scale's prediction of the critical batch size, used as a prior.
    """
    chosen = list(by_batch(found).values())
    if len(chosen) < FEWEST:
        return None
    steps = np.array([median(trials, "steps") for trials in chosen])
    rows = np.array([median(trials, "examples") for trials in chosen]) / steps  # the last batch of an epoch is short
    logs = [np.log([trial.steps or math.nan for trial in trials]) for trials in chosen]
    spare = sum(len(values) - 1 for values in logs)
    spread = np.sqrt(sum(((values - values.mean()) ** 2).sum() for values in logs) / spare) if spare else 0.0
    return fit(rows, steps, spread / np.sqrt([len(values) for values in logs]), expected)
