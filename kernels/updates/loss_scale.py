"""Dynamic loss scaling on the device (Micikevicius et al. 2018), against underflow and overflow of float16 gradients.

The gradient of the loss is multiplied by a scale when it is rounded to float16; the update divides by the scale. A
step with non-finite gradients is skipped and halves the scale; `INTERVAL` steps without one double it.

As with PyTorch's GradScaler, a skipped step counts for the schedule and the random streams but not for the optimizer:
Adam's bias correction counts only real updates. An optimizer's constants are linear in the learning rate, a + rate ·
b, where a and b depend on the number of updates and the rate on the step. After a skipped step, the table of
constants is recomputed from these for the following steps.
"""

from __future__ import annotations

import math
from typing import Any

from ..counters import FAILED, ROW, SKIP, STEP
from ..launch import each_element, one_block
from ..operation import Cuda, Launch, Operation
from .gradient_norm import EPS_NORM

FIRST, INTERVAL = 65536.0, 2000.0  # as PyTorch's GradScaler
LEAST = 2.0**-24  # a gradient that is not finite at this scale counts as a failed step


def scale_reference(xp: Any, gradient: Any, scale: Any, scaled: Any) -> None:
    """scaled = gradient · scale[0], of one shape, in the dtype of `scaled`."""
    scaled[...] = gradient * scale[0]


def unscale_reference(
    xp: Any, partial: Any, rates: Any, parts: Any, scale: Any, counters: Any, table: Any, clip: Any, *, max_norm: float
) -> None:
    """Sets the factor of the gradients in the update, and the scale of the next step.

    `partial` are sums of squares of the scaled gradients; clip (1,) = min(1, max_norm / (norm + 1e-6)) / scale[0].
    `scale` (3,) holds the scale, the steps since it changed, and the steps skipped since the table was made;
    `counters` int64 (COUNTERS,). The `table` (steps, columns) of constants is parts[…, 0] + rate · parts[…, 1], with
    `parts` (steps, columns, 2) and `rates` (steps,) float64.
    """
    squares, factor = float(xp.sum(partial)), float(scale[0])
    if math.isfinite(squares):
        norm = math.sqrt(squares) / factor
        clip[0] = min(1.0, max_norm / (norm + EPS_NORM)) / factor
        scale[1] += 1
        if float(scale[1]) >= INTERVAL:
            scale[0], scale[1] = 2 * factor, 0
        return
    counters[SKIP] = 1
    scale[0], scale[1], scale[2] = factor / 2, 0, scale[2] + 1
    first, lag = int(counters[ROW]) + 1, int(scale[2])
    late = parts[first - lag : table.shape[0] - lag, :, :]
    table[first:, :] = xp.astype(late[:, :, 0] + rates[first:, None] * late[:, :, 1], table.dtype)
    if factor <= LEAST and int(counters[FAILED]) < 0:
        counters[FAILED] = counters[STEP]


def unscale_launch(
    partial: Any, rates: Any, parts: Any, scale: Any, counters: Any, table: Any, clip: Any, *, max_norm: float
) -> Launch:
    """A single block."""
    arrays = partial, rates, parts, scale, counters, table, clip
    return one_block(*arrays, partial.shape[0], *table.shape, max_norm, EPS_NORM, INTERVAL, LEAST)


SCALE_GRADIENT = Operation(
    "scale_gradient",
    scale_reference,
    cuda=Cuda("loss_scale.cu", "scale_gradient", each_element, types={"REAL": 0, "VALUE": 2}),
    flops=lambda gradient, *_: gradient.size,
)
UNSCALE = Operation(
    "unscale",
    unscale_reference,
    cuda=Cuda("loss_scale.cu", "unscale", unscale_launch, types={"REAL": 3, "VALUE": 3}),
    flops=lambda partial, *_, **__: partial.size,
    traffic=lambda partial, *_: (partial.nbytes, 0),
)
