"""The specification of a training step."""

from __future__ import annotations

from collections.abc import Callable
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
    """Everything that defines a training step. Lowering, planning, costing and running use it.

    Parameters
    ----------
    model, loss, optimizer : as in `Trainer`.
    schedule : multiplies the optimizer's learning rate.
    groups : parameters with a separate learning rate or weight decay.
    clip_norm, clip_value : limits of the gradient; None does not clip.
    regularizer : added to the gradient of weights, or None.
    precision : as in `Trainer`; None means the model's dtype.
    seed : seed of the initial weights, shuffling and dropout.
    ema : decay of the moving average of the weights, or None.
    """

    model: Layer
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule | Callable[[int], float] = field(default_factory=Schedule)
    groups: tuple[ParameterGroup, ...] = ()
    clip_norm: float | None = None
    clip_value: float | None = None
    regularizer: Regularizer | None = None
    precision: str | None = None
    seed: int = 0
    ema: float | None = None

    def elements(self, trained: bool = True) -> int:
        """Elements of the arena for the trained parameters, or for the others, including padding."""
        parameters = self.model.parameters()
        return sum(padded(p.size, self.model.dtype) for p in parameters if p.trained is trained)

    def bound_into_plan(self) -> Any:
        """The settings that a plan depends on; if they change, a new plan is needed."""
        settings = self.clip_norm, self.clip_value, self.regularizer, self.seed, self.precision, self.ema
        return snapshot(settings), *map(id, (self.model, self.loss, self.optimizer, self.schedule, self.groups))
