"""Searching for an estimator's parameters, by scikit-learn's cross-validation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import loguniform, randint, uniform
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from ...backends.errors import ConfigurationError, DataError, GearshiftError
from ...backends.registry import resolve
from ..estimators.base import Perceptron
from ..estimators.descent import TrainingInterrupted
from ..estimators.mlp import MLPClassifier, MLPRegressor
from ..hints import hint
from ..training.figures import panels, saved
from .build import load_data
from .dask_cluster import on_dask
from .fits import Fits, fitted, quiet
from .ray_cluster import SCHEME, on_ray
from .sections import SearchConfiguration, SearchRange
from .worker_processes import on_processes


def search_scores(result: SearchResult, path: str | Path | None = None) -> Any:
    """The candidates' scores against each parameter that was searched, the best one marked; returns the figure."""
    rows = [(row.parameters, row.mean, row.deviation) for row in result.rows]
    return scores_picture(rows, f"{result.scoring}, mean and deviation of {result.folds} folds", path)


def scores_picture(rows: Sequence[tuple[dict[str, Any], float, float]], what: str, path: str | Path | None) -> Any:
    """Scores and their deviations against each parameter, those of the first row marked; returns the figure."""
    names = list(rows[0][0])
    figure, all_axes = panels(len(names))
    means, deviations = [row[1] for row in rows], [row[2] for row in rows]
    for number, (axes, name) in enumerate(zip(all_axes, names, strict=True)):
        values = [row[0][name] for row in rows]
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        shown: list[Any] = values if numbers else [str(value) for value in values]
        axes.errorbar(shown, means, yerr=deviations, fmt="o", markersize=4, elinewidth=0.8, alpha=0.6)
        axes.plot(shown[:1], means[:1], "*", markersize=13, color="tab:red", label="best")
        if numbers and min(values) > 0 and max(values) > 30 * min(values):
            axes.set_xscale("log")
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
        if not number:
            axes.set_ylabel(what)
            axes.legend(frameon=False)
    return saved(figure, path)


Advance = Callable[[int, float], None]


@dataclass(frozen=True)
class Candidate:
    """Parameters, and their score: mean and standard deviation over the folds, seconds of a fit."""

    parameters: dict[str, Any]
    mean: float
    deviation: float
    seconds: float


@dataclass(frozen=True)
class SearchResult:
    """Candidates from best to worst, and the best one's score on the test split, if there is one."""

    rows: list[Candidate]
    test: float | None
    scoring: str
    folds: int

    @property
    def best(self) -> dict[str, Any]:
        """The best candidate's parameters."""
        return self.rows[0].parameters

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return asdict(self)

    def show(self, most: int = 20) -> None:
        """Prints a table of the best candidates."""
        from rich.console import Console
        from rich.table import Table

        table = Table()
        for column in (*self.best, self.scoring, "±", "s a fit"):
            table.add_column(column, justify="right", overflow="fold")
        for row in self.rows[:most]:
            shown = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.parameters.values()]
            table.add_row(*shown, f"{row.mean:.4f}", f"{row.deviation:.4f}", f"{row.seconds:.2f}")
        console = Console()
        console.print(table)
        if len(self.rows) > most:
            console.print(f"and {len(self.rows) - most} more", highlight=False)
        if self.test is not None:
            console.print(f"the best, trained on all of these rows, on the test split: {self.test:.4f}")


@dataclass(frozen=True)
class Search:
    """Data, estimator and candidates of a configuration; rows count by their weights in training, alike in scores."""

    estimator: Perceptron
    candidates: list[dict[str, Any]]
    data: tuple[np.ndarray, np.ndarray]
    weight: np.ndarray | None
    test: tuple[np.ndarray, np.ndarray] | None
    configuration: SearchConfiguration

    def run(self, advance: Advance, scheduler: str | None = None) -> SearchResult:
        """Tries every candidate; `advance` is called with the number done and the best score.

        `scheduler` is the address of a Dask or Ray cluster that runs the fits, such as ``"tcp://10.0.0.1:8786"`` or
        ``"ray://10.0.0.1:10001"``.

        Raises
        ------
        KeyboardInterrupt
            Ctrl-C, also within a fit.
        ConfigurationError
            The folds or the scoring do not fit the data, or there is no cluster.
        """
        section, asked = self.configuration.search, self.configuration.search.scoring or None
        network, names = self._network()
        candidates = [{f"{names}{name}": value for name, value in row.items()} for row in self.candidates]
        scores, seconds = np.full((2, len(candidates), section.folds), math.nan)
        try:
            splitter: Any = check_cv(section.folds, self.data[1], classifier=is_classifier(network))
            fits = Fits(network, *self.data, self.weight, [*splitter.split(*self.data)], asked)
            tried = [(candidate, fold) for candidate in candidates for fold in range(section.folds)]
            if scheduler is None:
                workers: Any = partial(on_processes, section.jobs)
            else:
                workers = partial(on_ray if scheduler.startswith(SCHEME) else on_dask, scheduler)
            for place, result in workers(fitted, fits, tried):
                row, fold = divmod(place, section.folds)
                scores[row, fold], seconds[row, fold] = result
                if not np.isnan(scores[row]).any():
                    means = scores.mean(1)
                    advance(int(np.sum(~np.isnan(means))), float(np.nanmax(means)))
            rows = self._rows(scores, seconds)
            test = None
            if self.test is not None:
                best = network.set_params(**candidates[int(np.argmax(scores.mean(1)))])
                with quiet():
                    best.fit(*self.data, network__sample_weight=self.weight)
                score: Any = check_scoring(best, asked)
                test = float(score(best, *self.test))
        except TrainingInterrupted:
            raise KeyboardInterrupt from None
        except GearshiftError:
            raise
        except ValueError as error:  # scikit-learn's: too many folds, or a score that does not fit the targets
            chosen = f"{section.folds} folds, scoring {section.scoring or self._measure!r}"
            raise ConfigurationError(f"search with {chosen}: {error}") from error
        return SearchResult(rows, test, section.scoring or self._measure, section.folds)

    def _network(self) -> tuple[Any, str]:
        """The estimator behind what standardises its data, and what its parameters' names begin with."""
        scale = StandardScaler() if self.configuration.data.standardize else "passthrough"
        network, names = self.estimator, "network__"
        if isinstance(network, MLPRegressor) and self.configuration.data.standardize_target:
            network, names = TransformedTargetRegressor(network, transformer=StandardScaler()), "network__regressor__"
        return Pipeline([("scale", scale), ("network", network)]), names

    @property
    def _measure(self) -> str:
        return "accuracy" if isinstance(self.estimator, MLPClassifier) else "r2"

    def _rows(self, scores: np.ndarray, seconds: np.ndarray) -> list[Candidate]:
        columns = scores.mean(1), scores.std(1), seconds.mean(1)
        rows = [
            Candidate(candidate, *map(float, measured))
            for candidate, *measured in zip(self.candidates, *columns, strict=True)
        ]
        return sorted(rows, key=lambda row: -row.mean)


def prepare(configuration: SearchConfiguration, backend: str | None = None) -> Search:
    """Reads the data and lists the candidates; `backend` comes before the environment and the file.

    Raises
    ------
    ConfigurationError
        A parameter is not the estimator's, or a range cannot be searched.
    """
    section = configuration.search
    if section.scoring and section.scoring not in get_scorer_names():
        raise ConfigurationError(f"search.scoring is {section.scoring!r}; {hint(section.scoring, get_scorer_names())}")
    drawn = candidates_of(section.parameters, section.method, section.candidates, section.seed)
    data = configuration.data.model_copy(update={"validation": 0.0})  # folds take its place
    splits = load_data(data, section.seed)
    if splits.train.y is None:
        raise DataError(f"data {splits.name} have no targets y")
    kind = MLPRegressor if splits.classes is None else MLPClassifier
    fixed = {"random_state": section.seed, **configuration.estimator.model_dump()}
    known = kind().get_params()
    for where, names in (("estimator", fixed), ("search.parameters", section.parameters)):
        for name in names:
            if name not in known:
                raise ConfigurationError(
                    f"{where}.{name} is not a parameter of {kind.__name__}; {hint(name, [*known])}"
                )
    fixed["backend"] = resolve(backend) if resolve(backend) != "auto" else configuration.backend.name
    parts = [None if part is None else _arrays(part) for part in (splits.train, splits.test)]
    assert parts[0] is not None
    weight = None if splits.train.weight is None else np.asarray(splits.train.weight)
    return Search(kind(**fixed), drawn, parts[0], weight, parts[1], configuration)


def candidates_of(
    parameters: Mapping[str, list[Any] | SearchRange], method: str, count: int, seed: int
) -> list[dict[str, Any]]:
    """The parameters of every candidate: a grid of lists, or `count` draws from lists and ranges.

    Raises
    ------
    ConfigurationError
        A list is empty, or a range cannot be searched.
    """
    for name, values in parameters.items():
        if isinstance(values, SearchRange):
            _check_range(name, values, method)
        elif not values:
            raise ConfigurationError(f"search.parameters.{name} is an empty list; expected values to try")
    if method == "grid":
        return [dict(candidate) for candidate in ParameterGrid(dict(parameters))]
    spaces = {name: _distribution(v) if isinstance(v, SearchRange) else v for name, v in parameters.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a space with fewer candidates, all of which are taken
        drawn = ParameterSampler(spaces, count, random_state=seed)
        return [{name: _plain(value) for name, value in candidate.items()} for candidate in drawn]


def _check_range(name: str, values: SearchRange, method: str) -> None:
    if method == "grid":
        raise ConfigurationError(f"search.parameters.{name} is a range; a grid needs a list of values")
    if not values.low < values.high or (values.log and values.low <= 0) or not math.isfinite(values.high - values.low):
        raise ConfigurationError(
            f"search.parameters.{name} is from {values.low:g} to {values.high:g}; expected low below high"
            + (" and above 0" if values.log else "")
        )
    if values.whole and not -(2**63) <= math.ceil(values.low) <= values.high < 2**63 - 1:
        raise ConfigurationError(
            f"search.parameters.{name} is from {values.low:g} to {values.high:g}, with no integer of 64 bits between"
        )
    if values.whole and values.log:
        raise ConfigurationError(f"search.parameters.{name}: integers are drawn uniformly; leave out log")


def _distribution(values: SearchRange) -> Any:
    if values.whole:
        return randint(math.ceil(values.low), math.floor(values.high) + 1)
    return loguniform(values.low, values.high) if values.log else uniform(values.low, values.high - values.low)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _arrays(data: Any) -> tuple[np.ndarray, np.ndarray]:
    x = np.asarray(data.x).reshape(len(data), -1)
    return x if x.dtype.kind == "f" else x.astype(np.float32), np.asarray(data.y)
