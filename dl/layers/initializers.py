"""Weight initializers, ``gs.initializers``: values are drawn on the host, in float64, from the run's seed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError
from ...backends.philox import INITIALIZE, normal, uniform
from ..values import require_number

__all__ = ["Full", "Normal", "Uniform", "gaussian", "glorot", "he", "lecun", "ones", "standard_normal", "zeros"]

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


@dataclass(frozen=True)
class Full:
    """All elements are `value`: for a parameter of a layer of your own.

    Raises
    ------
    ConfigurationError
        It is no finite number.

    Examples
    --------
    >>> scale = gs.Parameter((3,), gs.initializers.Full(0.5))
    """

    value: float

    def __post_init__(self) -> None:
        require_number(self, value=self.value)

    def __call__(self, key: np.ndarray, stream: int, shape: tuple[int, ...]) -> np.ndarray:
        """The weights of a parameter."""
        return np.full(shape, self.value)


@dataclass(frozen=True)
class Normal:
    """Normal initial weights; in configurations ``"normal(0, 0.02)"``.

    Parameters
    ----------
    mean, std : of the distribution; `std` is above 0.

    Raises
    ------
    ConfigurationError
        They are not finite numbers, or `std` is not above 0.

    Examples
    --------
    >>> layer = gs.Linear(64, 32, init=gs.initializers.Normal(0.0, 0.02))
    """

    mean: float = 0.0
    std: float = 0.01

    def __post_init__(self) -> None:
        require_number(self, mean=self.mean)
        require_number(self, std=self.std, above=0)

    def __call__(self, key: np.ndarray, stream: int, shape: tuple[int, ...]) -> np.ndarray:
        """The weights of a parameter."""
        return normal(key, math.prod(shape), INITIALIZE, stream).reshape(shape) * self.std + self.mean

    def __str__(self) -> str:
        return f"normal({self.mean!r}, {self.std!r})"


@dataclass(frozen=True)
class Uniform:
    """Uniform initial weights; in configurations ``"uniform(-0.1, 0.1)"``.

    Parameters
    ----------
    low, high : the bounds; `low` is below `high`.

    Raises
    ------
    ConfigurationError
        They are not finite numbers, or `low` is not below `high`.

    Examples
    --------
    >>> layer = gs.Linear(64, 32, init=gs.initializers.Uniform(-0.1, 0.1))
    """

    low: float = -0.1
    high: float = 0.1

    def __post_init__(self) -> None:
        require_number(self, low=self.low, high=self.high)
        if not self.low < self.high:
            raise ConfigurationError(f"Uniform: low is {self.low!r}; expected a number below high, {self.high!r}")

    def __call__(self, key: np.ndarray, stream: int, shape: tuple[int, ...]) -> np.ndarray:
        """The weights of a parameter."""
        drawn = uniform(key, math.prod(shape), INITIALIZE, stream).reshape(shape)
        return self.low + (self.high - self.low) * drawn

    def __str__(self) -> str:
        return f"uniform({self.low!r}, {self.high!r})"


@dataclass(frozen=True)
class _Drawn:
    """Weights of a user's function of a random generator and a shape."""

    function: Callable[[np.random.Generator, tuple[int, ...]], Any]

    def __call__(self, key: np.ndarray, stream: int, shape: tuple[int, ...]) -> np.ndarray:
        random = np.random.default_rng([*(int(word) for word in key), stream])
        drawn = np.asarray(self.function(random, shape), dtype=np.float64)
        if drawn.shape != shape or not np.isfinite(drawn).all():
            raise ConfigurationError(
                f"init {self.function!r} returned an array of shape {drawn.shape} for {shape}; expected this shape, "
                "and finite numbers"
            )
        return drawn


WithNumbers = {"normal": Normal, "uniform": Uniform}
Init = str | Normal | Uniform | Callable[[np.random.Generator, tuple[int, ...]], Any]
"""What `Linear` accepts as ``init``."""


def spelled(init: Init) -> str:
    """The initialiser as files of models name it. A function is not saved: the weights that it drew are."""
    return str(init) if isinstance(init, str | Normal | Uniform) else "glorot"


def named(init: Init) -> Initializer:
    """The initialiser of weights: of a name, such as ``"he"`` or ``"normal(0, 0.02)"``, or of a function.

    Raises
    ------
    ConfigurationError
        The name is not known.
    """
    if isinstance(init, Normal | Uniform):
        return init
    if callable(init):
        return _Drawn(init)
    found = (
        re.fullmatch(r"(normal|uniform)\(([^(),]+),([^(),]+)\)", init.replace(" ", ""))
        if isinstance(init, str)
        else None
    )
    if found is not None:
        try:
            numbers = float(found[2]), float(found[3])
        except ValueError:
            raise ConfigurationError(f"init {init!r} is not known; expected numbers, as in 'normal(0, 0.02)'") from None
        return WithNumbers[found[1]](*numbers)
    if init in ALIKE:
        raise ConfigurationError(
            f"init {init!r} makes all units of a layer identical: they get the same gradient at every step and never "
            f"differ, so the layer is worth one unit; expected one of: {', '.join(WEIGHTS)}"
        )
    if not isinstance(init, str) or init not in WEIGHTS:
        raise ConfigurationError(
            f"init {init!r} is not known; expected one of: {', '.join(WEIGHTS)}, 'normal(mean, std)', "
            "'uniform(low, high)', or a function of a NumPy generator and a shape"
        )
    return WEIGHTS[init]
