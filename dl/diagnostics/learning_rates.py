"""Trials of several learning rates, about a hundred steps each, to find the best."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError, NonFiniteLoss
from ...backends.philox import key_of, permutation
from ..data import Dataset, as_dataset
from ..training.figures import BESIDE, name_axes, panels, saved
from ..training.progress import measure
from ..training.trainer import Trainer

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
POINTS = 10  # of a trial's curve
HELD = 2048  # rows that trials are compared on at the most

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """One learning rate.

    Attributes
    ----------
    lr : the rate.
    loss : the loss after the last step, over the rows for comparison; infinite if training failed.
    steps, losses : points of the curve: steps taken, and the mean loss since the previous point.
    """

    lr: float
    loss: float
    steps: tuple[int, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Trials:
    """All trials, by rate.

    Attributes
    ----------
    before : the loss before the first step.
    baseline : the lowest loss of a constant prediction, such as the mean; None if it is not known.
    """

    rows: tuple[Trial, ...]
    before: float
    iterations: int
    baseline: float | None = None

    @property
    def best(self) -> float:
        """The rate with the lowest loss.

        Raises
        ------
        ConfigurationError
            No rate lowered the loss, or none below that of a constant prediction.
        """
        row = min(self.rows, key=lambda row: row.loss)
        if row.loss < self.before and not self.learned(row):
            raise ConfigurationError(
                f"learning-rate trials: after {self.iterations} steps the least loss is {measure(row.loss)}, no better "
                f"than the mean or the classes' frequencies for all rows, {measure(self.baseline or 0)}: nothing was "
                "learned, so no rate is advised; try more --iterations, or scale the data (data.standardize, "
                "data.standardize_target; in Python model.target_scaling)"
            )
        if not row.loss < self.before:
            raise ConfigurationError(
                f"learning-rate trials: the loss fell below {self.before:.4g} with none of "
                f"{', '.join(f'{trial.lr:g}' for trial in self.rows)}; try smaller rates, or look at the data"
            )
        return row.lr

    def learned(self, row: Trial) -> bool:
        """Whether a trial ended below the initial loss and below the baseline."""
        return row.loss < self.before and (self.baseline is None or row.loss < self.baseline)

    @property
    def further(self) -> tuple[float, ...]:
        """Rates to try next, if the best is the largest or the smallest that was tried; otherwise empty."""
        rates, best = [row.lr for row in self.rows], self.best
        if best == rates[-1]:
            return best, 3 * best, 10 * best
        return (best / 10, best / 3, best) if best == rates[0] else ()

    @property
    def remark(self) -> str:
        """That the best rate is the largest or the smallest that was tried; otherwise empty."""
        if not self.further:
            return ""
        end, side = ("largest", "larger") if self.further[0] == self.best else ("smallest", "smaller")
        return f"the best learning rate, {self.best:g}, is the {end} that was tried; a {side} one may be better"

    def as_json(self) -> dict[str, Any]:
        """All results as JSON values, with None for an infinite loss."""
        table = asdict(self)
        for row in table["rows"]:
            row["loss"] = row["loss"] if math.isfinite(row["loss"]) else None
        return table

    def plot(self, path: str | Path | None = None) -> Any:
        """Draws the loss against the rate, and each trial's curve, with Matplotlib; returns the figure."""
        figure, (left, right) = panels(2)
        done = [row for row in self.rows if math.isfinite(row.loss)]
        left.plot([row.lr for row in done], [row.loss for row in done], "o-")
        for row in self.rows:
            if not math.isfinite(row.loss):
                left.axvline(row.lr, color="tab:red", linestyle=":", label="diverged")
        left.axhline(self.before, color="gray", linestyle="--", label="before the first step")
        best = min(self.rows, key=lambda row: row.loss)
        if best.loss < self.before:
            left.plot([best.lr], [best.loss], "*", markersize=13, color="tab:red", label=f"best, {best.lr:g}")
        left.set_xscale("log")
        left.grid(alpha=0.3)
        left.set(xlabel="learning rate", ylabel=f"loss after {self.iterations} steps")
        handles = dict(zip(*reversed(left.get_legend_handles_labels()), strict=True))
        left.legend(handles.values(), handles.keys(), frameon=False)
        for row in self.rows:
            if row.steps:
                right.plot(row.steps, row.losses, marker=".", label=f"{row.lr:g}")
        name_axes(right, "step", "loss", title="learning rate", **BESIDE)
        least = min([self.before, *(row.loss for row in done), *(loss for row in self.rows for loss in row.losses)])
        for axes in (left, right):  # what is far above the beginning is of no interest
            if least > 0:
                axes.set_yscale("log")
                axes.set_ylim(0.8 * least, 3 * self.before)
        return saved(figure, path)

    def show(self) -> None:
        """Prints a table."""
        from rich.console import Console
        from rich.table import Table

        table = Table()
        for column in ("learning rate", f"loss after {self.iterations} steps", ""):
            table.add_column(column, justify="right")
        best = min(self.rows, key=lambda row: row.loss)
        for row in self.rows:
            loss = measure(row.loss) if math.isfinite(row.loss) else "diverged"
            table.add_row(f"{row.lr:g}", loss, "best" if row is best and self.learned(row) else "")
        console = Console()
        console.print(table)
        if self.baseline is not None:
            console.print(f"loss of the best constant prediction: {measure(self.baseline)}", highlight=False)
        console.print(f"loss before the first step: {measure(self.before)}", highlight=False)

    def __str__(self) -> str:
        lines = [f"lr {row.lr:<8g} loss {row.loss:.4f}" for row in self.rows]
        if any(map(self.learned, self.rows)) and self.remark:
            lines.append(self.remark)
        return "\n".join(lines)

    __repr__ = __str__


def learning_rate_trials(
    make: Callable[[float], Trainer],
    data: Any,
    y: Any = None,
    *,
    rates: Sequence[float] | float = RATES,
    iterations: int = 100,
    batch_size: int = 32,
    advance: Callable[[int, float], None] = lambda done, best: None,
) -> Trials:
    """Trains with each of several learning rates for some steps, from the same weights on the same batches.

    Parameters
    ----------
    make : returns a new trainer for a learning rate; use one seed, so that all start from the same weights.
    data, y : training data, as `Trainer.fit` takes them.
    rates : the learning rates.
    iterations : steps per trial.
    batch_size : rows per step.
    advance : progress callback, called with the number of finished trials and the lowest loss.

    Returns
    -------
    Trials
        ``.best`` is the choice, ``.rows`` the table; ``.plot(path)`` draws both.

    Raises
    ------
    ConfigurationError
        A rate is not above 0, there is none, or `iterations` is below 1.

    Examples
    --------
    >>> def make(rate):
    ...     model = gs.Sequential(gs.Linear(64, 10))
    ...     return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=rate), seed=0)
    >>> trials = gs.learning_rate_trials(make, x, y, rates=[1e-4, 1e-2, 1e4], iterations=30)
    >>> trials.best
    0.01
    """
    rates = [rates] if isinstance(rates, int | float) else rates
    if not rates or not all(isinstance(rate, int | float) and 0 < rate < math.inf for rate in rates):
        raise ConfigurationError(f"learning-rate trials: rates are {list(rates)}; expected numbers above 0")
    if iterations < 1:
        raise ConfigurationError(f"learning-rate trials: iterations is {iterations}; expected at least 1")
    dataset = as_dataset(data, y)
    rows, before, batch_size = [], math.nan, min(batch_size, len(dataset))
    baseline: float | None = None
    for number, rate in enumerate(sorted(rates)):
        trainer = make(float(rate))
        parts = _parts(dataset, iterations, batch_size, trainer.seed)
        held = dataset.sample(HELD)
        if not number:
            before, baseline = trainer.evaluate(held)["loss"], trainer.baseline(held)
        rows.append(_trial(trainer, float(rate), parts, held, batch_size))
        advance(number + 1, min(row.loss for row in rows))
    return Trials(tuple(rows), before, iterations, baseline)


def _trial(trainer: Trainer, rate: float, parts: list[Dataset], held: Dataset, batch_size: int) -> Trial:
    steps, losses = [], []
    try:
        for part in parts:
            trainer.fit(part, epochs=1, batch_size=batch_size, verbose=False)
            steps.append(trainer.step)
            losses.append(trainer.history[-1]["loss"])
        loss = trainer.evaluate(held)["loss"]
    except NonFiniteLoss as error:
        _log.info("learning rate %g: %s", rate, error)
        loss = math.inf
    return Trial(rate, loss if math.isfinite(loss) else math.inf, tuple(steps), tuple(losses))


def _parts(dataset: Dataset, iterations: int, batch_size: int, seed: int) -> list[Dataset]:
    """The rows of all steps in up to `POINTS` parts of whole batches. Rows are repeated if there are too few."""
    key, wanted = key_of(seed), iterations * batch_size
    epochs = -(-wanted // len(dataset))
    order = np.concatenate([permutation(np, key, len(dataset), epoch) for epoch in range(epochs)])[:wanted]
    cuts = np.linspace(0, iterations, min(POINTS, iterations) + 1).astype(int) * batch_size
    return [dataset[order[start:stop]] for start, stop in itertools.pairwise(cuts)]
