"""What cases are made of: random arrays, and counters of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gearshift.backends.precision import is_short
from gearshift.kernels.activations.activation import IDENTITY, RELU, SIGMOID, TANH
from gearshift.kernels.counters import COUNTERS, CURSOR, FAILED, FIRST, ROW, SKIP, STEP

ACTIVATIONS = (IDENTITY, RELU, TANH, SIGMOID)
JUNK = 77  # what lies in an output before it is written


@dataclass
class Case:
    """One call: the arrays (inputs, then outputs), which of them are written, and the attributes.

    `terms` holds, for a written array that sums, the greatest sum of |terms| of its elements; errors of the
    others are measured against their largest value before or after.
    """

    arrays: list[np.ndarray]
    written: tuple[int, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    terms: dict[int, float] = field(default_factory=dict)


@dataclass
class Draw:
    """Random arrays of one dtype."""

    random: np.random.Generator
    real: np.dtype

    def normal(self, *shape: int) -> np.ndarray:
        return self.random.standard_normal(shape).astype(self.real)

    def uniform(self, *shape: int) -> np.ndarray:
        return self.random.uniform(0.5, 1.5, shape).astype(self.real)

    def junk(self, *shape: int, dtype: Any = None) -> np.ndarray:
        """An output before it is written."""
        return np.full(shape, JUNK, dtype=dtype or self.real)


def counters(**values: int) -> np.ndarray:
    """Counters of a run that is under way."""
    array = np.zeros(COUNTERS, dtype=np.int64)
    array[[STEP, CURSOR, ROW, FAILED, SKIP]] = (1 << 33) + 5, 3, 2, -1, 0
    for name, value in values.items():
        places = {"step": STEP, "cursor": CURSOR, "row": ROW, "failed": FAILED, "skip": SKIP, "first": FIRST}
        array[places[name]] = value
    return array


def largest(*arrays: np.ndarray) -> float:
    """The sum of the arrays' largest sizes."""
    return float(sum(np.max(np.abs(array), initial=0) for array in arrays))


def update_arrays(draw: Draw, size: int, states: int, constants: list[float]) -> list[np.ndarray]:
    """p, g, `states` states of size `size`, and the rest of an update's arrays, with padding between ranges."""
    cuts = np.sort(draw.random.integers(0, size + 1, 6))
    bounds = cuts.reshape(3, 2).astype(np.int64)
    bounds[-1] = min(cuts[4], size), size
    factors = np.array([[1, 0], [0.5, 0.01], [2, 0.1]], dtype=draw.real)
    table = np.full((4, len(constants)), np.nan, dtype=draw.real)
    table[2] = constants
    arrays = [draw.normal(size), draw.normal(size), *(draw.uniform(size) for _ in range(states))]
    return [*arrays, bounds, factors, table, counters(), np.array([0.7], dtype=draw.real)]


def is_float(dtype: Any) -> bool:
    """Whether a dtype holds real numbers."""
    return np.dtype(dtype).kind == "f" or is_short(dtype)
