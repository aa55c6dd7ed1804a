"""The loss and its gradient at a model's present weights, for checks and experiments."""

from __future__ import annotations

from typing import Any

import numpy as np

from .layers.base import Layer
from .losses import Loss
from .objective import Objective


def value_and_grad(
    model: Layer,
    loss: Loss,
    x: Any,
    y: Any,
    *,
    train: bool = True,
    seed: int = 0,
    step: int = 0,
    backend: str | None = "numpy",
) -> tuple[float, dict[str, np.ndarray]]:
    """The mean loss over x and y, and its gradient with respect to every weight.

    Parameters
    ----------
    model : its weights are drawn from `seed` if there are none; they do not change.
    x, y : rows and their targets.
    train : whether dropout is on; its mask is that of `seed` and `step`.

    Returns
    -------
    loss, gradients : a float, and arrays of the model's dtype by name, as ``"0.weight"``.
    """
    objective = Objective(model, loss, x, y, train=train, seed=seed, step=step, backend=backend)
    value = objective.evaluate()
    return value, objective.arena.pack(objective.arena.gradients)
