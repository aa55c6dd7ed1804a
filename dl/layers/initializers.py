"""Weight initializers: values are drawn on the host, in float64, from the run's seed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...backends.errors import ConfigurationError
from ...backends.philox import INITIALIZE, normal, uniform

Initializer = Callable[[np.ndarray, int, tuple[int, ...]], np.ndarray]
"""A function ``(key, stream, shape)`` that returns float64 values; `stream` is the parameter's number in the model."""


def zeros(key: np.ndarray, stream: int, shape: tuple[int, ...]) -> np.ndarray:
    """All zero: for biases."""
    return np.zeros(shape)


def ones(key: np.ndarray, stream: int, shape: tuple[int, ...]) -> np.ndarray:
    """All one: for scales."""
    return np.ones(shape)


def given(key: np.ndarray, stream: int, shape: tuple[int, ...], *, value: np.ndarray) -> np.ndarray:
    """The given `value`: for statistics of the data."""
    return value.reshape(shape)


def glorot(key: np.ndarray, stream: int, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform in ±√6 / √(fan_in + fan_out) (Glorot and Bengio 2010); shape (fan_in, fan_out)."""
    bound = math.sqrt(6 / (shape[0] + shape[-1]))
    return (2 * uniform(key, math.prod(shape), INITIALIZE, stream) - 1).reshape(shape) * bound


def he(key: np.ndarray, stream: int, shape: tuple[int, ...]) -> np.ndarray:
    """Normal with variance 2 / fan_in (He et al. 2015), for ReLU; shape (fan_in, fan_out)."""
    return normal(key, math.prod(shape), INITIALIZE, stream).reshape(shape) * math.sqrt(2 / shape[0])


def gaussian(key: np.ndarray, stream: int, shape: tuple[int, ...]) -> np.ndarray:
    """Normal with standard deviation 0.01."""
    return normal(key, math.prod(shape), INITIALIZE, stream).reshape(shape) * 0.01


def standard_normal(key: np.ndarray, stream: int, shape: tuple[int, ...]) -> np.ndarray:
    """Normal with standard deviation 1: for tables of vectors."""
    return normal(key, math.prod(shape), INITIALIZE, stream).reshape(shape)


def lecun(key: np.ndarray, stream: int, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform in ±1 / √fan_in (LeCun et al. 1998); shape (fan_in, fan_out)."""
    return (2 * uniform(key, math.prod(shape), INITIALIZE, stream) - 1).reshape(shape) / math.sqrt(shape[0])


WEIGHTS: dict[str, Initializer] = {"glorot": glorot, "he": he, "gaussian": gaussian, "uniform": lecun}
ALIKE = ("zeros", "ones", "constant")


def named(name: str) -> Initializer:
    """The initialiser of weights called `name`."""
    if name in ALIKE:
        raise ConfigurationError(
            f"init {name!r} makes all units of a layer identical: they get the same gradient at every step and never "
            f"differ, so the layer is worth one unit; expected one of: {', '.join(WEIGHTS)}"
        )
    if name not in WEIGHTS:
        raise ConfigurationError(f"init {name!r} is not known; expected one of: {', '.join(WEIGHTS)}")
    return WEIGHTS[name]
