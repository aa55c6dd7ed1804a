"""Metrics of the user's own, computed on the validation data after each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backends.errors import ConfigurationError
from ..data import Dataset
from ..hints import hint

if TYPE_CHECKING:
    from .answers import Answers


class Metrics:
    """Metrics by name; called with a trainer and data, it returns their values.

    Parameters
    ----------
    metrics : names of scikit-learn's scorers, functions ``(y, predictions)``, objects that are called so, or a
        dictionary of them by name.

    Raises
    ------
    ConfigurationError
        A name is not one of scikit-learn's, or something is no metric.
    """

    def __init__(self, metrics: Any) -> None:
        self.functions: dict[str, Callable[[Answers, Dataset], float]] = {}
        if isinstance(metrics, str) or callable(metrics):
            metrics = [metrics]
        pairs = metrics.items() if isinstance(metrics, Mapping) else ((None, metric) for metric in metrics)
        for name, metric in pairs:
            if isinstance(metric, str):
                function = _scorer(metric)
            elif callable(metric):
                function = _function(metric)
            else:
                raise ConfigurationError(
                    f"metrics: {metric!r} is no metric; expected a name or a function (y, predictions)"
                )
            name = name or (metric if isinstance(metric, str) else getattr(metric, "__name__", type(metric).__name__))
            if name in self.functions:
                raise ConfigurationError(f"metrics: {name!r} occurs twice; give names: metrics={{'name': metric}}")
            self.functions[name] = function

    @property
    def names(self) -> list[str]:
        """The names of the values in an epoch's record."""
        return [f"validation_{name}" for name in self.functions]

    def __call__(self, trainer: Answers, data: Dataset) -> dict[str, float]:
        """The value of each metric, by its name in an epoch's record.

        Raises
        ------
        ConfigurationError
            A metric cannot be computed for this model, or is no number.
        """
        found = {}
        for name, function in zip(self.names, self.functions.values(), strict=True):
            try:
                value = float(function(trainer, data))
            except (TypeError, ValueError, AttributeError) as error:
                raise ConfigurationError(f"metrics: {name.partition('_')[2]!r} cannot be computed: {error}") from error
            found[name] = value if math.isfinite(value) else math.nan
        return found


def _function(metric: Callable[[Any, Any], Any]) -> Callable[[Answers, Dataset], float]:
    return lambda trainer, data: metric(data.on_host("y"), _answers(trainer, data))


def _scorer(name: str) -> Callable[[Answers, Dataset], float]:
    from sklearn.metrics import get_scorer, get_scorer_names

    if name not in get_scorer_names():
        raise ConfigurationError(f"metrics: {name!r} is no scorer of scikit-learn; {hint(name, get_scorer_names())}")
    scorer = get_scorer(name)

    def score(trainer: Answers, data: Dataset) -> float:
        weights = {} if data.weight is None else {"sample_weight": data.on_host("weight")}
        return scorer(_estimator(trainer, data), data, data.on_host("y"), **weights)

    return score


def _answers(trainer: Answers, data: Dataset) -> Any:
    answers = trainer.predict(data)
    flat = isinstance(answers, np.ndarray) and answers.ndim == 2 and answers.shape[1] == 1
    return answers[:, 0] if flat else answers


def _estimator(trainer: Answers, data: Dataset) -> Any:
    """The trainer as scikit-learn's scorers want it: they ask for its predictions."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    classifies = trainer.loss.targets != "values"

    class Estimator(ClassifierMixin if classifies else RegressorMixin, BaseEstimator):  # pyright: ignore
        """Predictions of a trainer."""

        classes_ = np.arange(trainer._classes(data)) if classifies else None
        fitted_ = True  # scorers ask whether there is anything of this kind

        def predict(self, x: Dataset) -> Any:
            return _answers(trainer, x)

        def predict_proba(self, x: Dataset) -> Any:
            return trainer.predict_proba(x)

    return Estimator()
