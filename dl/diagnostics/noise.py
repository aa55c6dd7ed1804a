"""The standard error of a minibatch's gradient as a function of the batch size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError
from ...kernels.arrays.column_moment import COLUMN_MOMENT
from ...kernels.norms.batch_norm import BATCH_NORM
from ..data import as_dataset
from ..data.names import matched
from ..graph.graph import Node
from ..layers.base import Layer
from ..losses.answers import as_learned
from ..losses.losses import Loss
from ..step.plan import underflowing
from .objective import Objective, check_kinds


@dataclass(frozen=True)
class GradientNoise:
    """The spread of the gradient from row to row.

    Attributes
    ----------
    variance : tr Σ, the sum over weights of the variance of one row's gradient, unbiased.
    squared_norm : |G|² of the mean gradient, unbiased; below 0 if noise hides it.
    rows : number of rows used for the estimate.
    """

    variance: float
    squared_norm: float
    rows: int

    def standard_error(self, batch_size: Any) -> Any:
        """σ / √m: the root mean square distance of a batch's mean gradient from the true one."""
        return np.sqrt(self.variance / np.asarray(batch_size))

    @property
    def noise_scale(self) -> float:
        """tr Σ / |G|², the batch size whose standard error equals the gradient's norm (McCandlish et al. 2018)."""
        return self.variance / self.squared_norm if self.squared_norm > 0 else np.inf


@underflowing
def gradient_noise(model: Layer, loss: Loss, x: Any, y: Any, *, most: int = 256, **options: Any) -> GradientNoise:
    """Estimates the noise of the gradient at a model's weights from the gradients of single rows, one by one.

    Works for all layers that process rows independently. ``gearshift bench`` has a faster method for Linear layers.
    Each row has its own dropout mask.

    Parameters
    ----------
    most : maximum number of rows, chosen at random with `seed`.
    options : train, seed, step, backend, arena; see `gearshift.Hessian`.

    Raises
    ------
    DataError
        There are fewer than 2 rows.
    ConfigurationError
        A layer uses statistics of its batch, so a single row has no gradient of its own.

    Examples
    --------
    >>> model = gs.Sequential(gs.Linear(64, 10)).init(0)
    >>> noise = gs.gradient_noise(model, gs.CrossEntropyLoss(), x, y)
    >>> errors = noise.standard_error([1, 10, 100])
    """
    check_kinds(model, loss)
    data = as_learned(matched(as_dataset(x, y), model.feature_names), model, loss)
    if min(most, len(data)) < 2:
        raise DataError(f"gradient_noise: x has {len(data)} rows, of which {most} are taken; expected at least 2")
    objective = Objective(model, loss, data[:1], None, **options)
    objective.check(data)
    mixing = next((node.layer for node in objective.program.graph.nodes if _mixes_rows(node)), None)
    if mixing is not None:
        raise ConfigurationError(
            f"gradient_noise: layer {mixing} takes statistics of its batch, so one row has no gradient of its own; "
            "for batch normalisation, train=False takes the running ones"
        )
    data = data.sample(most, options.get("seed", 0))
    rows, step = len(data), options.get("step", 0)
    total = np.zeros(objective.size)
    squares = 0.0
    for row in range(rows):
        objective.load(data.x[row : row + 1], data.y[row : row + 1], step + row)
        objective.evaluate()
        gradient = objective.flatten(objective.arena.gradients).astype(np.float64)
        total += gradient
        squares += float(gradient @ gradient)
    mean = float(total @ total) / rows**2
    variance = (squares - rows * mean) / (rows - 1)
    return GradientNoise(variance, mean - variance / rows, rows)


def _mixes_rows(node: Node) -> bool:
    """Whether an operation of the forward pass takes statistics over the rows of the batch."""
    return node.operation in (BATCH_NORM, COLUMN_MOMENT) and node.inputs[0].kind == "batch"
