"""The exponential moving average of the weights (Polyak and Juditsky 1992)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backends.errors import CheckpointError
from .arena import Arena

RAW, COUNT = "raw.", "averaged steps"  # names of tensors in checkpoints


class WeightAverage:
    """The average of a run's weights, and the weights themselves.

    After n steps, the average of the weights p₁ … pₙ is Σ βⁿ⁻ᵏ pₖ / Σ βⁿ⁻ᵏ, with the decay β: the sum is divided by
    its weights, as in Adam, so that it is right from the first step on.

    A step changes the weights in the arena, and then the average in `other`. Between epochs they change places: the
    arena has the average, which is evaluated and saved, and `other` the weights, with which training goes on.

    Parameters
    ----------
    arena : of the run.
    decay : β, from 0 to below 1.

    Attributes
    ----------
    other : the average, or the weights where the arena has the average; in the layout of the gradients.
    rates : (steps,) the rate 1 / Σ βⁿ⁻ᵏ of each step of the run's table.
    shown : whether the arena has the average.
    """

    def __init__(self, arena: Arena, decay: float, steps: int) -> None:
        self.arena, self.decay = arena, float(decay)
        self.other, self.rates = arena.zeros(), arena.backend.zeros(steps, arena.dtype)
        self.begin(0)

    def begin(self, step: int) -> None:
        """Begins anew with the arena's weights, before step number `step`."""
        self.began, self.shown = step, False
        self.other[...] = self.arena.trained

    def show(self, average: bool) -> None:
        """Puts the average into the arena, or the weights that training goes on with."""
        if average == self.shown:
            return
        kept = self.other.copy()
        self.other[...] = self.arena.trained
        self.arena.trained[...] = kept
        self.arena.refresh()
        self.shown = average

    def prepare(self, first: int) -> None:
        """Fills in the rates of the steps from number `first` on."""
        counts = np.maximum(1, np.arange(first, first + len(self.rates)) - self.began + 1)
        weight = -np.expm1(counts * math.log(self.decay)) if self.decay else np.ones(len(counts))
        self.rates[...] = self.arena.backend.asarray(((1 - self.decay) / weight).astype(self.arena.dtype))

    def pack(self, tensors: dict[str, np.ndarray], step: int) -> dict[str, np.ndarray]:
        """The tensors of a run whose ``model.`` tensors are those of the arena, with the average in their place."""
        other = self.arena.pack(self.other)
        model = other if not self.shown else {}
        raw = other if self.shown else {name: tensors[f"model.{name}"] for name in other}
        tensors = tensors | {f"model.{name}": value for name, value in model.items()}
        tensors |= {f"{RAW}{name}": value for name, value in raw.items()}
        return tensors | {COUNT: np.array([step - self.began])}

    def unpack(self, tensors: dict[str, np.ndarray], step: int) -> None:
        """Loads what `pack` returned, except for what the arena has; the arena must have the average already."""
        self.arena.unpack(self.other, {name[len(RAW) :]: value for name, value in tensors.items() if _is_raw(name)})
        self.began, self.shown = step - int(tensors[COUNT][0]), True


def _is_raw(name: str) -> bool:
    return name.startswith(RAW)


def with_average(tensors: dict[str, np.ndarray], expected: dict[str, Any], step: int) -> dict[str, Any]:
    """The tensors of a run without an average as those of one that begins now, if one is expected.

    Raises
    ------
    CheckpointError
        They have an average, and none is expected, or it is of more steps than were taken.
    """
    if COUNT in tensors and not (tensors[COUNT].size == 1 and 0 <= int(tensors[COUNT].ravel()[0]) <= step):
        raise CheckpointError(f"tensor {COUNT!r} is {tensors[COUNT]}; expected a number from 0 to {step}")
    if COUNT in tensors and COUNT not in expected:
        raise CheckpointError("it has averaged weights; make the Trainer with the same ema")
    if COUNT in expected and COUNT not in tensors:
        raw = {name: f"model.{name[len(RAW) :]}" for name in expected if _is_raw(name)}
        return {**tensors, COUNT: np.zeros(1, np.int64), **{n: tensors[m] for n, m in raw.items() if m in tensors}}
    return tensors
