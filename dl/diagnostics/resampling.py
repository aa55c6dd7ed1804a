"""Bias, variance and irreducible error of a model, estimated by training it on several sets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError
from ..data import as_dataset
from ..data.arrays import read
from ..data.names import matched
from ..training.figures import name_axes, panels, saved

DRAWN = 20  # predictions in the picture


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
    fresh : whether no row was in two training sets. Otherwise they were drawn from one set with replacement, whose own
        chance deviation counts as bias.
    x, y : the test rows, and what predictions were compared with: the truth, or their targets.
    """

    error: float
    bias: float
    variance: float
    irreducible: float
    predictions: np.ndarray
    fresh: bool
    x: np.ndarray
    y: np.ndarray

    def plot(self, path: str | Path | None = None) -> Any:
        """Draws the parts of the error as bars; of one feature also predictions, their mean, and what they should be.

        Returns the figure.
        """
        one = self.predictions.ndim == 2 and math.prod(self.x.shape[1:]) == 1
        figure, (left, *right) = panels(1 + one)
        shown = {"bias²": self.bias, "variance": self.variance, "irreducible": self.irreducible, "error": self.error}
        shown = {name: value for name, value in shown.items() if not math.isnan(value)}
        left.bar(list(shown), list(shown.values()), color=[f"C{place}" for place in range(len(shown))])
        left.set_ylabel("mean squared error")
        left.grid(axis="y", alpha=0.3)
        for axes in right:
            order = np.argsort(self.x, axis=None)
            place, predictions = self.x.reshape(-1)[order], self.predictions[:, order]
            for prediction in predictions[:DRAWN]:
                axes.plot(place, prediction, color="C1", alpha=0.25, linewidth=0.8)
            axes.plot(place, predictions.mean(axis=0), color="C1", label="mean prediction")
            known = "targets" if math.isnan(self.irreducible) else "truth"
            axes.plot(place, self.y[order], color="black", linestyle=":", label=known)
            name_axes(axes, "feature", "")
        return saved(figure, path)


def bias_variance(
    fit: Callable[[Any, Any], Callable[[Any], Any]],
    x: Any,
    y: Any,
    x_test: Any,
    y_test: Any,
    *,
    truth: Any = None,
    rows: int | None = None,
    draws: int = 20,
    seed: int = 0,
) -> BiasVariance:
    """Trains on `draws` training sets and splits the test error into bias and variance (Geman et al. 1992).

    Fresh sets estimate both: give a function that draws them, or `rows`. By default the sets are bootstrap samples of
    (x, y), which is all that one small set allows: the set's own deviation from the truth then counts as bias.

    Parameters
    ----------
    fit : trains on rows and targets and returns what predicts, as
        ``lambda x, y: gs.MLPRegressor().fit(x, y).predict``.
    x, y : rows and targets to draw training sets from. Or x is a function of a `numpy.random.Generator` that returns a
        fresh set (x, y), and y is None.
    truth : the targets of the test rows without noise, where they are known.
    rows : of each training set; there must be draws · rows in x, so that no row is in two sets.

    Raises
    ------
    ConfigurationError
        `draws` is below 2, or there are too few rows for `draws` sets of `rows`.
    DataError
        Predictions or `truth` are not of the shape of `y_test`.

    Examples
    --------
    >>> def sample(random):
    ...     x = random.uniform(-1, 1, (50, 1))
    ...     return x, x[:, 0] ** 2 + 0.1 * random.normal(size=50)
    >>> rows = np.linspace(-1, 1, 100)[:, None]
    >>> parts = gs.bias_variance(fit, sample, None, rows, rows[:, 0] ** 2)
    >>> parts.plot("parts.png")
    """
    if draws < 2:
        raise ConfigurationError(f"bias_variance: draws is {draws}; expected at least 2")
    fresh = callable(x) or rows is not None
    if callable(x):
        if y is not None or rows is not None:
            raise ConfigurationError("bias_variance: x draws the sets, so y and rows are not used; leave them out")
    elif read("x", x)[0].ndim > 1:
        data = as_dataset(x)
        x, x_test = data.x, matched(as_dataset(x_test), data.feature_names).x
    else:  # one number a row: `fit` knows what to make of it
        x = read("x", x)[0]
    x_test, y_test = read("x_test", x_test)[0], read("y_test", y_test)[0]
    y = None if callable(x) else read("y", y)[0]
    found = []
    for part in _training_sets(x, y, rows, int(draws), int(seed)):
        if not callable(predict := fit(*part)):
            raise ConfigurationError(f"bias_variance: fit returns {predict!r}; expected a function, as model.predict")
        found.append(np.asarray(predict(x_test), dtype=np.float64))
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
        fresh=fresh,
        x=np.asarray(x_test),
        y=np.asarray(known),
    )


def _training_sets(x: Any, y: Any, rows: int | None, draws: int, seed: int) -> Iterator[Any]:
    """The training sets (x, y): drawn by x, disjoint parts of it, or bootstrap samples."""
    random = np.random.default_rng(seed)
    if callable(x):
        for _ in range(draws):
            drawn: Any = x(random)
            yield drawn
        return
    if rows is None:
        for _ in range(draws):
            chosen = random.integers(0, len(x), len(x))
            yield x[chosen], y[chosen]
        return
    if not 1 <= rows <= len(x) // draws:
        raise ConfigurationError(
            f"bias_variance: {draws} sets of {rows} rows are not in the {len(x)} rows of x; expected rows from 1 to "
            f"{len(x) // draws}, or fewer draws"
        )
    order = random.permutation(len(x))
    for start in range(0, draws * rows, rows):
        chosen = order[start : start + rows]
        yield x[chosen], y[chosen]
