"""The noise scale along a short training run of the user's own network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from ....backends.errors import ConfigurationError
from ....dl.data import Dataset
from ....dl.training.trainer import Trainer
from ..records import Estimate, Noise, NoiseAt
from .descent import SteppedTraining
from .noise import RESAMPLES, Moments, PerExample, ratio

PLACES, DRAWS, ROWS = 24, 2, 8192  # places of the run, draws at each, and rows of a draw at most
SMALL = 256  # rows of the first sample, which is timed; also of all samples if time is short
EPOCHS = 10  # of the run at most
FEWEST = 16  # rows of the data


def measure(
    trainer: Trainer,
    data: Dataset,
    batch_size: int,
    seconds: float,
    note: Callable[[str], None] = lambda text: None,
    seed: int = 0,
    *,
    must_learn: bool = True,
) -> Noise:
    """Trains for as many epochs as fit into `seconds`, and samples gradients at several places of the run.

    A sample is as large as the time allows. With the whole data set the moments are exact; otherwise the error of |G|²
    is proportional to 1 / rows of a sample, but only to 1 / √n for n samples. The result is the median over the
    places, because the noise scale grows tenfold during a run, and single values are unreliable where the gradient is
    almost zero.

    Without `must_learn`, a run that has learned nothing is taken too: a rehearsal of a few steps.

    Raises
    ------
    ConfigurationError
        Per-example gradients are not known for this network, there are too few rows, or the loss turns NaN.
    """
    rows = len(data)
    if rows < FEWEST:
        raise ConfigurationError(f"the noise scale needs {FEWEST} rows of training data; there are {rows}")
    batch = min(batch_size, rows)
    note("noise scale: warming up")
    run, chooser = SteppedTraining(trainer, data, batch), np.random.default_rng(seed)
    step = min(run.run(10) / 10 for _ in range(3))
    run.reset()
    draw = _affordable(trainer, data, chooser, 0.4 * seconds / (PLACES * DRAWS))
    examples, draws = PerExample(trainer, data, draw), DRAWS if draw < rows else 1
    each = max(1, min(math.ceil(EPOCHS * rows / batch), int(0.4 * seconds / step)) // PLACES)
    places: list[NoiseAt] = []
    for place in range(PLACES):
        note(f"noise scale: place {place + 1} of {PLACES} along {PLACES * each:,} steps")
        run.run(each)
        loss = trainer.totals()["loss"]
        if trainer.state.failed_step() >= 0 or not math.isfinite(loss):
            raise ConfigurationError(
                f"the loss is not finite at step {trainer.state.failed_step()} with learning rate "
                f"{trainer.optimizer.lr:g}, so there is no noise scale; use a lower learning rate"
            )
        places.append(_place(examples, chooser, draw, range(place * draws, (place + 1) * draws), loss))
    if must_learn:
        _check_learned(run, data)
    adam = [place.adam for place in places if place.adam is not None]
    return Noise(
        backend=trainer.backend.name,
        batch=draw,
        draws=draws,
        places=places,
        scale=_median([place.scale for place in places]),
        adam=_median(adam) if adam else None,
    )


def _check_learned(run: SteppedTraining, data: Dataset) -> None:
    """Raises an error if the loss is not lower than a constant prediction's: then there is no advice."""
    baseline, loss = run.trainer.baseline(data), run.loss()
    if baseline is not None and not loss < baseline:
        raise ConfigurationError(
            f"nothing was learned in {run.trainer.step:,} steps: the loss is {loss:.4g}, and a constant prediction "
            f"(the mean or the class frequencies) has {baseline:.4g}. So there is no advice; try another learning "
            "rate (gearshift lr finds one), a longer --budget, or scaled data (data.standardize, "
            "data.standardize_target)"
        )


def _affordable(trainer: Trainer, data: Dataset, chooser: np.random.Generator, seconds: float) -> int:
    """The number of rows that can be sampled within `seconds`: all rows, or a power of two."""
    rows = len(data)
    small = min(SMALL, rows)
    examples, chosen = PerExample(trainer, data, small), chooser.choice(rows, small, replace=False)
    examples.moments(chosen)
    start = time.perf_counter()
    examples.moments(chosen)
    fits = small * seconds / (time.perf_counter() - start)
    if rows <= min(fits, ROWS) or rows == small:
        return rows
    return min(ROWS, 2 ** int(math.log2(max(small, min(fits, rows)))))


def _place(examples: PerExample, chooser: np.random.Generator, draw: int, masks: range, loss: float) -> NoiseAt:
    """Draws gradients at the present weights, one for each number of dropout masks."""
    rows, divisors = len(examples.data), examples.adam_divisors()
    kinds = [None] if divisors is None else [None, divisors]
    found: list[list[Moments]] = [
        examples.several(chooser.choice(rows, draw, replace=False), kinds, mask) for mask in masks
    ]
    plain, divided = [one[0] for one in found], [one[1] for one in found if divisors is not None]
    noises = [one.noise(draw, rows) for one in plain]
    trace, square = np.mean(noises, axis=0)
    return NoiseAt(
        step=examples.trainer.step,
        loss=loss,
        trace=float(trace),
        square=float(square),
        scale=ratio(noises),
        adam=ratio([one.noise(draw, rows) for one in divided]) if divided else None,
        layers={
            layer: ratio([one.noise(draw, rows, layer) for one in plain]).value for layer in sorted(plain[0].examples)
        },
    )


def _median(scales: list[Estimate]) -> Estimate:
    """The median over the places, with a bootstrap interval."""
    values = np.array([scale.value for scale in scales])
    random = np.random.default_rng(0)
    drawn = np.median(values[random.integers(0, len(values), (RESAMPLES, len(values)))], axis=1)
    return Estimate.of(np.median(values), drawn)
