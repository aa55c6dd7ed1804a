"""Compares the advice with trainings. Pure functions of a document."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..records import Document, Estimate, TrainingRun
from . import advice
from .analyse import critical_batch, curve_of, noise_scale
from .curve import DRAWS
from .hyperbola import Hyperbola
from .trained import by_batch, hyperbola, median, reaching


@dataclass(frozen=True)
class Reached:
    """Training to the target at one batch size, at the best learning rate; medians over the seeds.

    Attributes
    ----------
    factor : the best learning rate divided by the rule's.
    low, high : smallest and largest seconds.
    predicted : predicted seconds, scaled to the measured ones at the advised batch size.
    """

    batch: int
    factor: float
    lr: float
    seeds: int
    steps: float
    examples: float
    seconds: float
    low: float
    high: float
    predicted: float


@dataclass(frozen=True)
class AdviceCheck:
    """Predictions and measurements.

    Attributes
    ----------
    predicted, predicted_noise : the critical batch size used for the advice, and the noise scale.
    points : the results by batch size.
    hyperbola : fitted to the points; None if there are fewer than three.
    best : the fastest batch size.
    excess : the advised batch size's time divided by that of the best, with a 95 % interval from resampled seeds; None
        if it did not reach the target.
    as_ruled : the same with the rule's learning rate.
    best_batch : the advice for the measured critical batch size.
    best_batch_excess : its time divided by that of the best; None if it was not trained.
    time_error : the median of |predicted / measured − 1| over the batch sizes.
    """

    backend: str
    target: float
    advised: int
    predicted: float
    predicted_noise: float
    points: list[Reached]
    hyperbola: Hyperbola | None
    best: int
    excess: Estimate | None
    as_ruled: float | None
    best_batch: int | None
    best_batch_excess: Estimate | None
    time_error: float


def check(document: Document) -> AdviceCheck | None:
    """Evaluates the validation; None if there was none, or nothing reached the target."""
    found, scale, expected = document.validation, noise_scale(document), critical_batch(document)
    measured = curve_of(document, found.backend) if found else None
    if found is None or scale is None or expected is None or measured is None:
        return None
    chosen = by_batch(found)
    if not chosen:
        return None
    near = min(chosen, key=lambda batch: abs(np.log(batch / found.advised)))
    unit = median(chosen[near], "seconds") / advice.cost(measured, expected.value, near)
    points = [
        Reached(
            batch,
            trials[0].factor,
            trials[0].lr,
            len(trials),
            median(trials, "steps"),
            median(trials, "examples"),
            median(trials, "seconds"),
            min(trial.seconds or 0 for trial in trials),
            max(trial.seconds or 0 for trial in trials),
            float(unit * advice.cost(measured, expected.value, batch)),
        )
        for batch, trials in chosen.items()
    ]
    first = min(points, key=lambda point: point.seconds)
    advised = next((point for point in points if point.batch == found.advised), None)
    ruled = [trial for trial in reaching(found, found.advised) if trial.factor == 1.0]
    shape = hyperbola(found)
    better = advice.best_batch(measured, shape.critical.value, document.task.rows) if shape else None
    best_batch = advice.pleasant(better) if better else None
    return AdviceCheck(
        backend=found.backend,
        target=found.target,
        advised=found.advised,
        predicted=expected.value,
        predicted_noise=scale.value,
        points=points,
        hyperbola=shape,
        best=first.batch,
        excess=_excess(chosen[found.advised], chosen[first.batch]) if advised else None,
        as_ruled=median(ruled, "seconds") / first.seconds if ruled else None,
        best_batch=best_batch,
        best_batch_excess=_excess(chosen[best_batch], chosen[first.batch]) if best_batch in chosen else None,
        time_error=float(np.median([abs(point.predicted / point.seconds - 1) for point in points])),
    )


def _excess(advised: list[TrainingRun], best: list[TrainingRun]) -> Estimate:
    """The quotient of the medians of the seconds, with an interval from resampled seeds."""
    value = median(advised, "seconds") / median(best, "seconds")
    if advised == best:
        return Estimate(value=1.0, low=1.0, high=1.0)
    random = np.random.default_rng(0)
    one, other = (
        np.median(random.choice([trial.seconds or math.nan for trial in trials], (DRAWS, len(trials))), axis=1)
        for trials in (advised, best)
    )
    return Estimate.of(value, one / other)
