"""Output layer of a fused MLP: outputs, losses, and the gradient before the last activation."""

from __future__ import annotations

from typing import Any

from ...backends.thread_pool import share
from ...backends.vectors import turn
from ..activations.activation import backward_loop as activation_backward
from ..activations.activation import forward_loop as activation
from ..batches.gather import loop as gather
from ..losses.softmax_cross_entropy import loop as loss
from .parts import GRAIN, BlockPart, LayerPlaces, Memory, Outputs, Source, Tools, sums, whole

NEAR = 4096  # outputs per block, which fit into the L1 cache


def activate(work: Any, at: int, step: int, parts: int, bias: Any, z: Any, y: Any, function: int) -> None:
    """y = activation(sum of the products + bias) for some columns of a row; `bias` may be empty, z is scratch."""
    n = y.shape[0]
    z, one = z[:n], work[at : at + n]
    if parts == 1:
        for j in range(n):
            z[j] = one[j]
    else:
        other = work[at + step : at + step + n]
        for j in range(n):
            z[j] = one[j] + other[j]
    for part in range(2, parts):
        other = work[at + part * step : at + part * step + n]
        for j in range(n):
            z[j] += other[j]
    if bias.shape[0] > 0:
        for j in range(n):
            z[j] += bias[j]
    activation(0, n, z, y, function)


def output_layer(
    task: BlockPart, layer: LayerPlaces, memory: Memory, source: Source, outputs: Outputs, tools: Tools
) -> None:
    """Outputs and losses of the part's rows of the block, and the last layer's D and DT.

    The same few rows of outputs and targets are reused, so they stay in the L1 cache.
    """
    work, p, k = memory.work, memory.parameters, layer.outputs
    start, stop = share(task.rows, task.part, task.parts, GRAIN)
    width, place = whole(k, tools.lanes), sums(layer, task.rows, 0, task.parts, 0, 1, tools.lanes)
    bias = p[layer.bias : layer.bias + k] if layer.bias >= 0 else p[:0]
    some = max(1, NEAR // k)
    for row0 in range(start, stop, some):
        size, later = min(some, stop - row0), task.first + row0 - start
        for row in range(size):
            at, y = place + (row0 + row) * width, outputs.values[start + row]
            activate(work, at, task.rows * width, task.parts, bias, tools.scratch, y, layer.activation)
        gather(start, start + size, source.targets, source.order[later:], source.counters, outputs.targets)
        loss(start, start + size, outputs.values, outputs.targets, outputs.scores[later:], outputs.gradients)
        for row in range(size):
            y, at = start + row, layer.d + (row0 + row) * layer.d_stride
            activation_backward(0, k, outputs.gradients[y], outputs.values[y], work[at : at + k], layer.activation)
    transpose(work, layer.d, layer.d_stride, layer.dt, layer.dt_stride, start, stop, k, tools.lanes)


def transpose(
    work: Any, d: int, d_stride: int, dt: int, dt_stride: int, start: int, stop: int, width: int, lanes: int
) -> None:
    """DT's columns `start` to `stop` from D's rows, of `width` elements."""
    for row in range(start, stop, lanes):
        for i in range(0, width, lanes):
            at, turned = d + row * d_stride + i, dt + i * dt_stride + row
            if row + lanes <= stop and i + lanes <= width:
                turn(work, at, d_stride, work, turned, dt_stride)
            else:
                for r in range(min(lanes, stop - row)):
                    for j in range(min(lanes, width - i)):
                        work[turned + j * dt_stride + r] = work[at + r * d_stride + j]
