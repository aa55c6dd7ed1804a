"""The loss and its gradient at a model's present weights, for checks and experiments."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backends
from ..backends.philox import key_of
from ..kernels.counters import STEP
from .arena import Arena
from .data import as_dataset
from .layers.base import Layer
from .losses import Loss
from .plan import Plan
from .program import gradient
from .resident import flat, means
from .state import new_counters


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
    loss : of the batch; its mean over the rows is taken.
    x, y : rows (rows, features) and their targets, as the loss wants them.
    train : whether dropout is on.
    seed, step : what dropout's mask is drawn from.
    backend : where it is computed.

    Returns
    -------
    loss : float
        The mean over the rows.
    gradients : dict of str to numpy.ndarray
        On the host, of the model's dtype and the weights' shapes, by name as ``"0.weight"``.

    Raises
    ------
    ShapeError, DataError
        Rows or targets do not fit the model and the loss.
    """
    where = backends.get(backend)
    data = as_dataset(x, y)
    arena = Arena(where, model.dtype, model.ensure_initialized(seed).parameters())
    rows, width = len(data), flat(data.x).shape[1]
    program = gradient(model, loss, width, train=train)
    loss.check(data, program.prediction.shape)
    counters = new_counters(where)
    counters[STEP] = step
    shared = {"counters": counters, "key": where.asarray(key_of(seed))}
    plan = Plan(program.graph, where, arena, shared, rows)
    assert program.target is not None and program.scores is not None
    plan.array(program.x, rows)[...] = where.asarray(flat(data.x))
    plan.array(program.target, rows)[...] = where.asarray(data.y).reshape(rows, *program.target.shape)
    plan.once(rows, "forward", "backward")
    scores = where.to_numpy(plan.array(program.scores, rows)).astype(np.float64)
    totals = np.array([rows, *scores.sum(axis=0)])
    return means(totals, loss)["loss"], arena.pack(arena.gradients)
