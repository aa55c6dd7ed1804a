"""How a chain of dense layers is divided among threads, and where what begins in its workspace."""

from __future__ import annotations

from typing import Any

from ..backends.team import share

# Columns of `layers`: widths, offsets in the arena (-1: no bias), rows of `factors`, then places in `work`.
# X (rows, inputs) is what the layer reads, D (rows, outputs) the gradient before the activation of what it writes,
# DT that transposed. SUMS are the parts' products, and GRADIENT collects over blocks: of the bias, then of the weights.
INPUTS, OUTPUTS, WEIGHT, BIAS, WEIGHT_RANGE, BIAS_RANGE, ACTIVATION = range(7)
X, X_STRIDE, D, D_STRIDE, DT, DT_STRIDE, SUMS, GRADIENT = range(7, 15)
BY_OUTPUTS = 15  # 1 where the parts have columns of the weights, not rows
FIELDS = 16

GRAIN = 8  # inputs, or outputs, that stay together: the rows of a tile


def span(layer: Any, part: int, parts: int) -> tuple[int, int, int, int]:
    """The part's weights: their first row and the one behind the last, and the same of columns."""
    if layer[BY_OUTPUTS]:
        low, high = share(layer[OUTPUTS], part, parts, GRAIN)
        return 0, layer[INPUTS], low, high
    start, stop = share(layer[INPUTS], part, parts, GRAIN)
    return start, stop, 0, layer[OUTPUTS]


def sums(layer: Any, n: int, part: int, parts: int, target: int, into: int, lanes: int) -> int:
    """Where a part's product for the outputs of part `target` begins: what one thread adds up lies together."""
    low, high = share(layer[OUTPUTS], target, into, GRAIN)
    width = (high - low + lanes - 1) // lanes * lanes
    return layer[SUMS] + parts * n * (low + target * lanes) + part * n * width
