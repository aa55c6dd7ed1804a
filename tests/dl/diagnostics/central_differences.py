"""Derivatives of a loss by central differences: (L(w + h) − L(w − h)) / 2h, which is exact up to O(h²)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import gearshift as gs
from gearshift.dl.diagnostics.objective import Objective


def central_differences(
    model: gs.Layer, loss: gs.Loss, x: Any, y: Any, h: float = 6e-6, most: int | None = None, **given: Any
) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """Name, index and derivative of each trained weight, or of at most `most` random ones of each tensor.

    The losses are NumPy's, at copies of the weights. `given` are the further arguments of `value_and_grad`. This is not
    `gs.check_gradients`, which is tested itself.
    """
    objective, random = Objective(model, loss, x, y, **given), np.random.default_rng(1)
    for parameter in objective.trained:
        weights = objective.arena.view(objective.arena.values, parameter)
        places = random.choice(weights.size, min(weights.size, most or weights.size), replace=False)
        for index in (tuple(map(int, np.unravel_index(place, weights.shape))) for place in places):
            kept, losses = weights[index], []
            for side in (h, -h):
                weights[index] = kept + side
                losses.append(objective.value())
            weights[index] = kept
            yield parameter.name, index, (losses[0] - losses[1]) / (2 * h)
