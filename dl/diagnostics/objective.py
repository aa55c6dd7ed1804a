"""The mean loss over given rows as a function of the weights: bound once, evaluated many times."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import backends
from ...backends.errors import ConfigurationError
from ...backends.philox import key_of
from ...kernels.counters import STEP
from ..data import Dataset, as_dataset
from ..data.names import matched
from ..data.rows import flat
from ..layers.base import Layer
from ..losses.answers import as_learned
from ..losses.losses import Loss
from ..step.arena import Arena, named
from ..step.evaluation import check_categories, means
from ..step.plan import Plan, underflowing
from ..step.program import Program, gradient
from ..step.state import new_counters


def check_kinds(model: Any, loss: Any) -> None:
    """Raises ConfigurationError unless these are a layer and a loss."""
    for name, value, kind in (("model", model, Layer), ("loss", loss, Loss)):
        if not isinstance(value, kind):
            raise ConfigurationError(f"{name} is {value!r}; expected a gearshift {kind.__name__}")


class Objective:
    """The mean loss over x and y, and its gradient, at the weights of an arena.

    Parameters
    ----------
    model : its weights are drawn from `seed` if there are none; they do not change.
    x, y : rows and their targets.
    train : whether dropout is on; its mask is that of `seed` and `step`.
    arena : holds the weights, such as a trainer's ``state.arena``; by default a new one with a copy of the weights.
    """

    @underflowing
    def __init__(
        self,
        model: Layer,
        loss: Loss,
        x: Any,
        y: Any,
        *,
        train: bool = True,
        seed: int = 0,
        step: int = 0,
        backend: str | None = "numpy",
        arena: Arena | None = None,
    ) -> None:
        check_kinds(model, loss)
        self.model, self.loss = model, loss
        self.backend = backends.get(backend) if arena is None else arena.backend
        data = as_learned(matched(as_dataset(x, y), model.feature_names), model, loss)
        parameters = model.ensure_initialized(seed).parameters()
        self.arena = arena or Arena(self.backend, model.dtype, parameters)
        self.trained = [parameter for parameter in parameters if parameter.trained]
        self.rows, width = len(data), flat(data.x).shape[1]
        self.program = gradient(model, loss, width, train=train)
        self.check(data)
        self._counters = new_counters(self.backend)
        self._shared = {"counters": self._counters, "key": self.backend.asarray(key_of(seed))}
        self.plan = self._bound(self.program)
        self.load(data.x, data.y, step)

    def _bound(self, program: Program) -> Plan:
        return Plan(program.graph, self.backend, self.arena, self._shared, self.rows)

    def check(self, data: Dataset) -> None:
        """Raises an error if rows or targets do not fit the model and the loss; compiled loops do not check them."""
        self.loss.check(data, self.program.prediction.example_shape)
        check_categories(self.program.graph, self.program.x, data)

    @underflowing
    def load(self, x: Any, y: Any, step: int | None = None) -> None:
        """Loads as many other rows, which must be checked already, and optionally the dropout masks of `step`."""
        program, asarray = self.program, self.backend.asarray
        if step is not None:
            self._counters[STEP] = step
        assert program.target is not None
        self.plan.array(program.x, self.rows)[...] = asarray(flat(x))
        self.plan.array(program.target, self.rows)[...] = asarray(y).reshape(self.rows, *program.target.shape)

    @underflowing
    def value(self) -> float:
        """The mean loss at the arena's present weights."""
        self.plan.once(self.rows, "forward")
        return self._mean()

    @underflowing
    def evaluate(self) -> float:
        """The mean loss; the gradient is then in ``arena.gradients``."""
        self.plan.once(self.rows, "forward", "backward")
        return self._mean()

    def _mean(self) -> float:
        assert self.program.scores is not None
        scores = self.backend.to_numpy(self.plan.array(self.program.scores, self.rows)).astype(np.float64)
        return means(np.array([len(scores), *scores.sum(axis=0)]), self.loss)["loss"]

    @property
    def size(self) -> int:
        """Trained weights."""
        return sum(parameter.size for parameter in self.trained)

    def flatten(self, buffer: Any) -> np.ndarray:
        """A buffer in the arena's layout as one host vector (size,) in the model's order of weights."""
        return self.arena.flat(buffer, self.trained)

    def unflatten(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """A vector (size,) as arrays by parameters' names."""
        return named(vector, self.trained)
