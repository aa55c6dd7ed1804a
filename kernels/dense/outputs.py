"""Output layer of a fused MLP: outputs, losses, and the gradient before the last activation."""

from __future__ import annotations

from typing import Any

from ...backends.addresses import call
from ...backends.thread_pool import share
from ...backends.vectors import turn
from ..batches.gather import loop as gather
from ..losses.softmax_cross_entropy import loop as loss
from .elementwise import activate, add_products, differentiate, drop_out
from .parts import (
    GRAIN,
    BlockPart,
    DropoutStreams,
    Memory,
    Outputs,
    StepFunctions,
    Targets,
    Tools,
    places_of,
    sums,
    whole,
)

NEAR = 4096  # outputs per block, which fit into the L1 cache


def output_layer(
    task: BlockPart,
    layers: Any,
    memory: Memory,
    counters: Any,
    outputs: Outputs,
    functions: StepFunctions,
    dropout: DropoutStreams,
    tools: Tools,
) -> int:
    """Outputs and losses of the part's rows of the block, and the last layer's D and DT.

    The same few rows of outputs and targets are reused, so they stay in the L1 cache.
    """
    layer = places_of(layers, layers.shape[0] - 1)
    work, p, k = memory.work, memory.parameters, layer.outputs
    z, strip, stored = tools.scratch[:k], tools.scratch[whole(k, tools.lanes) :], layer.slope >= 0
    start, stop = share(task.rows, task.part, task.parts, GRAIN)
    width, place = whole(k, tools.lanes), sums(layer, task.rows, 0, task.parts, 0, 1, tools.lanes)
    bias = p[layer.bias : layer.bias + k] if layer.bias >= 0 else p[:0]
    some, room = max(1, NEAR // k), task.room + start
    for row0 in range(start, stop, some):
        size, later = min(some, stop - row0), task.first + row0 - room
        for row in range(size):
            y, at = outputs.values[room + row], layer.slope + (row0 + row) * layer.d_stride
            slope = work[at : at + k] if stored else work[:0]
            add_products(work, place + (row0 + row) * width, task.rows * width, task.parts, bias, z)
            activate(z, y, slope, layer)
            drop_out(y, slope, (task.first + row0 + row) * k, layer, dropout, counters, strip)
        call(functions.loss, functions.targets, (room, room + size, later, outputs, counters))
        for row in range(size):
            y, at = room + row, (row0 + row) * layer.d_stride
            slope = work[layer.slope + at : layer.slope + at + k] if stored else work[:0]
            dz = work[layer.d + at : layer.d + at + k]
            differentiate(outputs.gradients[y], outputs.values[y], slope, dz, layer)
    transpose(work, layer.d, layer.d_stride, layer.dt, layer.dt_stride, start, stop, k, tools.lanes)
    return 0


def score(start: int, stop: int, later: int, outputs: Outputs, counters: Any, targets: Targets) -> int:
    """Losses and gradients of rows `start` to `stop` of the outputs, which are `later` rows later in the batch."""
    gather(start, stop, targets.data, targets.order[later:], counters, targets.batch)
    loss(start, stop, outputs.values, targets.batch, outputs.scores[later:], outputs.gradients)
    return 0


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
