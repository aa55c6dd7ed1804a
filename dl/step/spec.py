"""What a training step is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..layers.base import Layer
from ..losses.losses import Loss
from ..optimizers.base import Optimizer
from ..optimizers.groups import ParameterGroup
from ..optimizers.regularizers import Regularizer
from ..optimizers.schedules import Schedule
from .arena import padded
from .settings import snapshot


@dataclass(frozen=True, eq=False)
class StepSpec:
    """What a training step is made of; whatever lowers, plans, costs or runs a step takes this.

    Parameters
    ----------
    model, loss, optimizer : as in `Trainer`.
    schedule : multiplies the optimizer's learning rate.
    groups : parameters with a learning rate or a decay of their own.
    clip_norm, clip_value : bounds of the gradient; None does not clip.
    regularizer : added to the gradient of weights, or None.
    precision : as `Trainer` names it; None is the model's dtype.
    seed : of initial weights, shuffling and dropout.
    """

    model: Layer
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule = field(default_factory=Schedule)
    groups: tuple[ParameterGroup, ...] = ()
    clip_norm: float | None = None
    clip_value: float | None = None
    regularizer: Regularizer | None = None
    precision: str | None = None
    seed: int = 0

    def elements(self, trained: bool = True) -> int:
        """Elements of the arena that hold the trained parameters, or the others, padding included."""
        parameters = self.model.parameters()
        return sum(padded(p.size, self.model.dtype) for p in parameters if p.trained is trained)

    def bound_into_plan(self) -> Any:
        """The settings that a plan of steps is made for: where they change, another plan is needed."""
        settings = self.clip_norm, self.clip_value, self.regularizer, self.seed, self.precision
        return snapshot(settings), *map(id, (self.model, self.loss, self.optimizer, self.schedule, self.groups))
