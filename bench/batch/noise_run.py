"""The noise scale along a short training run of the user's own network."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...backends.errors import ConfigurationError
from ...dl.data import Dataset
from ...dl.resident import Resident
from ...dl.trainer import Trainer
from .noise import RESAMPLES, Moments, PerExample, ratio
from .records import Estimate, Noise, NoiseAt
from .steps import Steps

PLACES, DRAWS, ROWS = 24, 8, 256  # places of the run, draws at each, and rows of a draw at most
EPOCHS = 10  # of the run at most
FEWEST = 16  # rows of the data


def measure(
    trainer: Trainer,
    data: Dataset,
    batch_size: int,
    seconds: float,
    note: Callable[[str], None] = lambda text: None,
    seed: int = 0,
) -> Noise:
    """Trains for some epochs, as many as fit into `seconds`, and draws gradients at places of the run.

    Over the run, the noise scale is the median of the places: it grows tenfold from the first steps on, and where the
    true gradient all but vanishes one place may say anything.

    Raises
    ------
    ConfigurationError
        The network is none whose per-example gradients are known, the data are too few, or the loss turns NaN.
    """
    rows = len(data)
    if rows < FEWEST:
        raise ConfigurationError(f"the noise scale needs {FEWEST} rows of training data; there are {rows}")
    batch, draw = min(batch_size, rows), max(2, min(ROWS, rows // 4))
    steps = Steps(trainer, Resident(trainer.backend, data), batch)
    examples = PerExample(trainer, data, draw)
    chooser = np.random.default_rng(seed)  # of the draws
    note("noise scale: warming up")
    steps.timed(1)
    step = min(steps.timed(10) for _ in range(3))
    steps.reset()
    each = max(1, min(math.ceil(EPOCHS * rows / batch), int(0.4 * seconds / step)) // PLACES)
    places: list[NoiseAt] = []
    for place in range(PLACES):
        note(f"noise scale: place {place + 1} of {PLACES} along {PLACES * each:,} steps")
        steps.run(each)
        loss = trainer.totals()["loss"]
        if trainer.state.failed_step() >= 0 or not math.isfinite(loss):
            raise ConfigurationError(
                f"the loss is not finite at step {trainer.state.failed_step()} with learning rate "
                f"{trainer.optimizer.lr:g}, so there is no noise scale; try a lower one"
            )
        places.append(_place(trainer, examples, chooser, draw, place, loss))
    adam = [place.adam for place in places if place.adam is not None]
    return Noise(
        backend=trainer.backend.name,
        batch=draw,
        draws=DRAWS,
        places=places,
        scale=_median([place.scale for place in places]),
        adam=_median(adam) if adam else None,
    )


def _place(
    trainer: Trainer, examples: PerExample, chooser: np.random.Generator, draw: int, place: int, loss: float
) -> NoiseAt:
    """Draws gradients at the present weights."""
    rows, divisors = len(examples.data), examples.adam_divisors()
    plain: list[Moments] = []
    divided: list[Moments] = []
    for turn in range(DRAWS):
        chosen = chooser.choice(rows, draw, replace=False)
        mask = place * DRAWS + turn
        plain.append(examples.moments(chosen, mask=mask))
        if divisors is not None:
            divided.append(examples.moments(chosen, divisors, mask))
    noises = [one.noise(draw, rows) for one in plain]
    trace, square = np.mean(noises, axis=0)
    return NoiseAt(
        step=trainer.step,
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
    """The median of the places, and its interval by drawing places anew."""
    values = np.array([scale.value for scale in scales])
    random = np.random.default_rng(0)
    drawn = np.median(values[random.integers(0, len(values), (RESAMPLES, len(values)))], axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(value=float(np.median(values)), low=float(low), high=float(high))
