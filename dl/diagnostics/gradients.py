"""The loss and its gradient at a model's current weights, for checks and experiments."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..layers.base import Layer
from ..losses.losses import Loss
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
    loss : the loss; its mean over the rows is computed.
    x, y : rows (rows, features) and their targets, in the form that the loss expects.
    train : whether dropout is on.
    seed, step : determine dropout's mask.
    backend : the backend to compute on.

    Returns
    -------
    loss : float
        The mean over the rows.
    gradients : dict of str to numpy.ndarray
        Host arrays with the model's dtype and the weights' shapes, by name, such as ``"0.weight"``.

    Raises
    ------
    ShapeError, DataError
        Rows or targets do not fit the model and the loss.

    Examples
    --------
    >>> model = gs.Sequential(gs.Linear(64, 10)).init(0)
    >>> loss, gradients = gs.value_and_grad(model, gs.CrossEntropyLoss(), x, y)
    >>> gradients["0.weight"].shape
    (64, 10)
    """
    objective = Objective(model, loss, x, y, train=train, seed=seed, step=step, backend=backend)
    value = objective.evaluate()
    return value, objective.arena.pack(objective.arena.gradients)
