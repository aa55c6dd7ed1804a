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
from .resident import check_categories, flat, means
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
    x, y : rows and their targets.
    train : whether dropout is on; its mask is that of `seed` and `step`.

    Returns
    -------
    loss, gradients : a float, and arrays of the model's dtype by name, as ``"0.weight"``.
    """
    where = backends.get(backend)
    data = as_dataset(x, y)
    arena = Arena(where, model.dtype, model.ensure_initialized(seed).parameters())
    rows, width = len(data), flat(data.x).shape[1]
    program = gradient(model, loss, width, train=train)
    loss.check(data, program.prediction.example_shape)
    check_categories(program.graph, program.x, data)
    counters = new_counters(where)
    counters[STEP] = step
    shared = {"counters": counters, "key": where.asarray(key_of(seed))}
    plan = Plan(program.graph, where, arena, shared, rows)
    assert program.target is not None and program.scores is not None
    plan.array(program.x, rows)[...] = where.asarray(flat(data.x))
    plan.array(program.target, rows)[...] = where.asarray(data.y).reshape(rows, *program.target.shape)
    plan.once(rows, "forward", "backward")
    scores = where.to_numpy(plan.array(program.scores, rows)).astype(np.float64)
    totals = np.array([len(scores), *scores.sum(axis=0)])
    return means(totals, loss)["loss"], arena.pack(arena.gradients)
