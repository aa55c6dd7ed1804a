"""Bias, variance and irreducible error of a model, estimated by training it on resampled sets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError
from ..data import as_dataset
from ..data.arrays import read
from ..data.names import matched


@dataclass(frozen=True)
class BiasVariance:
    """Parts of the mean squared error over test rows and draws: ``error = bias + variance``.

    Attributes
    ----------
    error : mean of (prediction − y)².
    bias : mean of (mean prediction − y)²; it holds the irreducible error, unless the truth is known.
    variance : mean of (prediction − mean prediction)².
    irreducible : mean of (y − truth)²; NaN if the truth is not known. It is then no part of `bias`, and
        ``error = bias + variance + irreducible`` up to the chance correlation of noise and predictions.
    predictions : (draws, rows, …).
    """

    error: float
    bias: float
    variance: float
    irreducible: float
    predictions: np.ndarray


def bias_variance(
    fit: Callable[[Any, Any], Callable[[Any], Any]],
    x: Any,
    y: Any,
    x_test: Any,
    y_test: Any,
    *,
    truth: Any = None,
    draws: int = 20,
    seed: int = 0,
) -> BiasVariance:
    """Trains on `draws` bootstrap samples of (x, y) and splits the test error (Geman et al. 1992).

    Parameters
    ----------
    fit : trains on rows and targets and returns what predicts, as
        ``lambda x, y: gs.MLPRegressor().fit(x, y).predict``.
    truth : the targets of the test rows without noise, where they are known.

    Raises
    ------
    ConfigurationError
        `draws` is below 2.
    DataError
        Predictions or `truth` are not of the shape of `y_test`.
    """
    if draws < 2:
        raise ConfigurationError(f"bias_variance: draws is {draws}; expected at least 2")
    if read("x", x)[0].ndim > 1:
        data = as_dataset(x)
        x, x_test = data.x, matched(as_dataset(x_test), data.feature_names).x
    else:  # one number a row: `fit` knows what to make of it
        x, x_test = read("x", x)[0], read("x_test", x_test)[0]
    y, y_test = read("y", y)[0], read("y_test", y_test)[0]
    random, found = np.random.default_rng(seed), []
    for _ in range(draws):
        rows = random.integers(0, len(x), len(x))
        found.append(np.asarray(fit(x[rows], y[rows])(x_test), dtype=np.float64))
    predictions = np.stack(found)
    if predictions.shape[1:] != y_test.shape:
        raise DataError(f"bias_variance: predictions have the shape {predictions.shape[1:]}, y_test {y_test.shape}")
    mean = predictions.mean(axis=0)
    known = y_test if truth is None else read("truth", truth)[0]
    if known.shape != y_test.shape:
        raise DataError(f"bias_variance: truth has the shape {known.shape}, y_test {y_test.shape}")
    return BiasVariance(
        error=float(np.mean((predictions - y_test) ** 2)),
        bias=float(np.mean((mean - known) ** 2)),
        variance=float(np.mean((predictions - mean) ** 2)),
        irreducible=math.nan if truth is None else float(np.mean((y_test - known) ** 2)),
        predictions=predictions,
    )
