"""Minimisation over all rows by SciPy's L-BFGS (Liu and Nocedal 1989), with the plan's loss and gradient."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ...backends import Backend
from ..data import Dataset
from ..layers import Sequential
from ..step.arena import Arena
from ..step.plan import Plan
from ..step.program import gradient
from ..step.state import new_counters
from .descent import PenalizedLoss


def minimize(
    model: Sequential,
    objective: PenalizedLoss,
    backend: Backend,
    data: Dataset,
    weights: np.ndarray | None,
    options: dict[str, Any],
) -> tuple[float, int]:
    """Moves the model's weights to a minimum; returns the objective there and the number of iterations.

    `weights` are the sample weights (rows,), or None; `options` are those of SciPy's method ``"L-BFGS-B"``.
    """
    from scipy.optimize import minimize as run
    from sklearn.exceptions import ConvergenceWarning

    arena = Arena(backend, model.dtype, model.parameters())
    arena.attach()
    rows, width = data.x.shape
    program = gradient(model, objective.loss, width, train=True, weighted=weights is not None)
    plan = Plan(program.graph, backend, arena, {"counters": new_counters(backend)}, rows)
    assert program.target is not None and program.scores is not None
    plan.array(program.x, rows)[...] = backend.asarray(data.x)
    plan.array(program.target, rows)[...] = backend.asarray(data.y).reshape(rows, *program.target.shape)
    total = float(rows)
    if program.weight is not None and weights is not None:
        total = float(weights.sum())
        plan.array(program.weight, rows)[...] = backend.asarray(weights.reshape(-1, 1))
    start, stop, *_ = arena.ranges[0]

    def value_and_gradient(p: np.ndarray) -> tuple[float, np.ndarray]:
        arena.trained[...] = backend.asarray(p, dtype=arena.dtype)
        plan.once(rows, "forward", "backward")
        scores = backend.to_numpy(plan.array(program.scores, rows))  # pyright: ignore[reportArgumentType]
        g = backend.to_numpy(arena.gradients).astype(np.float64) * (objective.gradient * rows / total)
        g[start:stop] += objective.alpha / total * p[start:stop]
        penalty = objective.alpha / 2 * float(p[start:stop] @ p[start:stop])
        value = (objective.report * float(scores[:, 0].sum(dtype=np.float64)) + penalty) / total
        return (value, g) if math.isfinite(value) else (math.inf, np.zeros_like(g))

    begin = backend.to_numpy(arena.trained).astype(np.float64)
    found = run(value_and_gradient, begin, method="L-BFGS-B", jac=True, options=options)
    arena.trained[...] = backend.asarray(found.x, dtype=arena.dtype)
    if found.status != 0:
        warnings.warn(
            f"L-BFGS ended before it converged, after {found.nit} iterations and {found.nfev} evaluations: raise "
            "max_iter or scale the data",
            ConvergenceWarning,
            stacklevel=2,
        )
    return float(found.fun), int(found.nit)
