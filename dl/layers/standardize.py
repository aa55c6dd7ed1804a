"""Standardisation of the input as the first layer of a model, so that it is saved with the weights."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np

from ...backends.errors import DataError, ShapeError
from ...kernels.batches.standardize import STANDARDIZE
from ..graph.graph import Graph, Value
from ..values import require_count
from .base import Layer
from .initializers import given, ones, zeros
from .parameter import Parameter

COARSE = 0.05  # spacing of the dtype's numbers, relative to a feature's deviation, above which a warning is issued


class Standardize(Layer):
    """Standardises each feature: y = (x − mean) · scale, with fixed statistics of the training data.

    ``Standardize(n).fit(mean, std)`` sets them; the data can then stay in their stored dtype, for example uint8.

    Parameters
    ----------
    features : number of input features.

    Raises
    ------
    ConfigurationError
        `features` is not an integer of at least 1.

    Examples
    --------
    >>> rows = np.array([[0.0, 10.0], [2.0, 30.0]])
    >>> gs.Standardize(2).fit(rows.mean(axis=0), rows.std(axis=0))(rows)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """

    reads_data: ClassVar[bool] = True

    def __init__(self, features: int) -> None:
        require_count(self, features=features)
        self.features = features
        self.mean = Parameter((features,), zeros, trained=False)
        self.scale = Parameter((features,), ones, trained=False)
        self._fitted: tuple[np.ndarray, ...] = ()

    def fit(self, mean: Any, std: Any) -> Self:
        """Sets mean and standard deviation (features,); a deviation of 0 counts as 1. Returns the layer.

        Raises
        ------
        ShapeError
            They are not (features,).
        DataError
            One of them, or its inverse, is not finite in the layer's dtype.
        """
        mean, std = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
        for name, value in (("mean", mean), ("std", std)):
            if value.shape != (self.features,):
                raise ShapeError(f"Standardize: {name} has shape {value.shape}; expected ({self.features},)")
        with np.errstate(over="ignore"):
            fitted = mean, 1 / np.where(std > 0, std, 1)
        for (name, values), array in zip((("mean", mean), ("std", std)), self._rounded(fitted), strict=True):
            if not np.isfinite(array).all():
                value = values[int(np.isfinite(array).argmin())]
                raise DataError(f"Standardize: {name} {value:g} is beyond the range of {self.dtype}")
        self._fitted = fitted
        for parameter, value in zip((self.mean, self.scale), fitted, strict=True):
            parameter.init = partial(given, value=value)  # initializing the weights again keeps the statistics
        self._set(self._rounded(fitted))
        return self

    def _rounded(self, statistics: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        with np.errstate(over="ignore", under="ignore"):
            return tuple(array.astype(self.dtype) for array in statistics)

    def _set(self, statistics: tuple[np.ndarray, ...]) -> None:
        for parameter, array in zip((self.mean, self.scale), statistics, strict=True):
            parameter.array, parameter.owner = array, None

    def _set_dtype(self, dtype: str) -> None:
        """Rounds the original arguments of `fit` to the new dtype, not the values already rounded to the old one."""
        rounded = self._rounded(self._fitted)
        kept = [np.array_equal(p.numpy(), a) for p, a in zip((self.mean, self.scale), rounded, strict=False)]
        super()._set_dtype(dtype)
        if kept and all(kept):
            self._set(self._rounded(self._fitted))

    def _warn_of_rounding(self, dtype: str) -> None:
        """Warns if the dtype's numbers near a mean are too far apart compared with the standard deviation."""
        if not self._fitted:
            return
        mean, scale = self._fitted
        with np.errstate(all="ignore"):
            steps = np.spacing(np.abs(mean).astype(dtype)).astype(np.float64) * scale
        steps[scale == 1] = 0  # a feature that does not vary is only shifted
        worst = int(np.argmax(steps))
        if steps[worst] > COARSE:
            warnings.warn(
                f"Standardize: feature {worst} has mean {mean[worst]:g} and standard deviation {1 / scale[worst]:g}; "
                f"{dtype} numbers of that size are {steps[worst] / scale[worst]:g} apart, which is too coarse; "
                "subtract the mean from the data, or use dtype='float64'",
                stacklevel=2,
            )

    def lower(self, graph: Graph, x: Value) -> Value:
        if x.shape != (self.features,):
            raise ShapeError(f"Standardize expects {self.features} features a row, but gets rows of shape {x.shape}")
        self._warn_of_rounding(graph.dtype)
        y = graph.batch(x.shape)
        graph.apply(STANDARDIZE, (x, graph.parameter(self.mean), graph.parameter(self.scale)), (y,))
        return y
