"""The gradient of a layer's X for a few rows of the batch: dot products, computed four at a time.

`product` computes W·Dᵀ with the rows of the batch in the lanes of a vector register. A few rows leave most lanes empty.
Here the lanes hold the outputs of the layer.
"""

from __future__ import annotations

from typing import Any

from ...backends.reductions import plus
from .parts import BlockPart, LayerPlaces, Memory


def few(rows: int, outputs: int, lanes: int) -> bool:
    """Whether `input_gradient` is faster here than `product`: measured for 10 to 784 outputs, with AVX-512."""
    return 5 * rows * (outputs + 2 * lanes) <= 3 * lanes * outputs


def input_gradient(
    start: int, stop: int, task: BlockPart, layer: LayerPlaces, memory: Memory, out: Any, stride: int
) -> None:
    """out = D·Wᵀ: columns `start` to `stop` of the gradient of X, in rows with this stride."""
    depth = layer.outputs
    for first in range(start, stop, 4):
        at = layer.weight + first * depth
        weights = memory.parameters[at : at + 4 * depth]
        for row in range(task.rows):
            d, y = layer.d + row * layer.d_stride, row * stride + first - start
            dots(min(4, stop - first), depth, weights, memory.work[d : d + depth], out[y : y + 4])


def dots(rows: int, depth: int, a: Any, x: Any, y: Any) -> None:
    """y = a·x for up to four rows of a flat matrix a."""
    zero = x.dtype.type(0)
    if rows == 4:
        a0, a1, a2, a3 = a[:depth], a[depth : 2 * depth], a[2 * depth : 3 * depth], a[3 * depth : 4 * depth]
        sum0, sum1, sum2, sum3 = zero, zero, zero, zero
        for k in range(depth):
            sum0 = plus(sum0, a0[k] * x[k])
            sum1 = plus(sum1, a1[k] * x[k])
            sum2 = plus(sum2, a2[k] * x[k])
            sum3 = plus(sum3, a3[k] * x[k])
        y[0], y[1], y[2], y[3] = sum0, sum1, sum2, sum3
    else:
        for row in range(rows):
            one, total = a[row * depth : (row + 1) * depth], zero
            for k in range(depth):
                total = plus(total, one[k] * x[k])
            y[row] = total
