"""One fit of a search, wherever it runs: an estimator with some parameters, on all folds but one, which scores it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_validate

from ..estimators.descent import TrainingInterrupted


@dataclass(frozen=True)
class Fits:
    """What all fits have in common: they go to each worker once."""

    estimator: Any
    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    folds: list[tuple[np.ndarray, np.ndarray]]
    scoring: str | None


def fitted(fits: Fits, tried: tuple[dict[str, Any], int]) -> tuple[float, float]:
    """The score of some parameters on one fold, and the seconds of the fit."""
    parameters, fold = tried
    estimator: Any = clone(fits.estimator)
    with quiet():
        found = cross_validate(
            estimator.set_params(**parameters),
            fits.x,
            fits.y,
            cv=[fits.folds[fold]],
            scoring=fits.scoring,
            params={"network__sample_weight": fits.weight},
            error_score="raise",  # pyright: ignore[reportArgumentType]
        )
    return float(found["test_score"][0]), float(found["fit_time"][0])


@contextmanager
def quiet() -> Iterator[None]:
    """No warning of each fit that has not converged; an interrupted fit is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("error", TrainingInterrupted)
        yield
