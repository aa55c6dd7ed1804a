"""Parameter updates of a layer of a fused MLP: the bias, and weights whose gradient has just been computed.

Gradients of weights are computed some rows at a time and used while they are in cache. They are stored completely
only if a batch has several blocks, which are added up in the workspace, or if the gradient is clipped by its norm (see
`clipping`).
"""

from __future__ import annotations

from typing import Any

from ..activations.bias_activation import CHUNK
from ..updates.adam import loop as update_parameters
from ..updates.clip_values import loop as clip_values
from ..updates.l1 import subgradient_loop as add_l1
from ..updates.l1 import threshold_loop as soft_threshold
from ..updates.nesterov import ahead_loop as ahead
from .parts import BlockPart, LayerPlaces, Memory, Tools, Update, inputs_of, outputs_of, whole
from .product import SCRATCH

HOT = 32768  # elements of the gradient that are computed before their update
ROWS = 96  # maximum rows of the weights at once
EVERYTHING = 1 << 62  # stop of an unlimited range


def update_bias(task: BlockPart, layer: LayerPlaces, memory: Memory, update: Update, tools: Tools) -> None:
    """The gradient of the part's columns of the bias; updates them after the last block of a batch."""
    hot = tools.scratch[SCRATCH:]
    start, stop = outputs_of(layer, task.part, task.parts)
    width = stop - start
    total = memory.work[layer.gradient + start :][:width] if task.rows < task.batch else hot[:width]
    sum_rows(task, memory.work, layer.d + start, layer.d_stride, total, hot[width : 2 * width])
    if task.first + task.rows == task.batch:
        apply(memory, total, layer.bias + start, width, layer.bias_range, update)


def sum_rows(task: BlockPart, work: Any, d: int, stride: int, total: Any, chunk: Any) -> None:
    """total (width,) = the sum of D's rows, in chunks as in `bias_activation`; later blocks are added."""
    width = total.shape[0]
    if task.first == 0:
        for j in range(width):
            total[j] = 0
    for first in range(0, task.rows, CHUNK):
        for j in range(width):
            chunk[j] = 0
        for row in range(first, min(first + CHUNK, task.rows)):
            source = work[d + row * stride : d + row * stride + width]
            for j in range(width):
                chunk[j] += source[j]
        for j in range(width):
            total[j] += chunk[j]


def collected(layer: LayerPlaces, task: BlockPart, lanes: int) -> int:
    """The place where gradients of the layer's weights are added up over blocks, after that of the bias.

    After the last row of a part there are as many spare rows as a vector has elements; transposing blocks writes
    them.
    """
    width = whole(layer.outputs, lanes)
    return layer.gradient + width + task.part * lanes * width


def apply(memory: Memory, g: Any, start: int, size: int, group: int, update: Update) -> None:
    """Uses the gradient g of `size` parameters from `start`, which it may change."""
    options = update.options
    p, weights = memory.parameters[start : start + size], options.weights[group : group + 1]
    add_l1(0, size, p, g, update.bounds, weights, options.l1)
    clip_values(0, size, g, options.clip_value)
    use_gradient(memory, g, start, size, group, update)


def update_range(memory: Memory, g: Any, start: int, size: int, group: int, update: Update) -> None:
    """Updates `size` parameters from `start` with the gradient g."""
    stop, options = start + size, update.options
    p, factors = memory.parameters[start:stop], update.factors[group : group + 1]
    shared = (update.bounds, factors, update.table, update.counters, update.clip)
    own = (0, size, p, g)
    update_parameters(*(own + slice_states(update.slots, start, stop) + shared + update.attributes))
    weights, strength = options.weights[group : group + 1], options.threshold
    soft_threshold(0, size, p, update.bounds, factors, weights, options.rates, update.counters, strength)


use_gradient = update_range  # `clipping.keep_gradient` if the gradient is clipped by its norm


def move_ahead(layer: LayerPlaces, task: BlockPart, memory: Memory, update: Update) -> None:
    """Moves the part's parameters of a layer ahead, for optimizers that take the gradient there."""
    for biases in range(2):
        start, size, group = range_of(layer, task, biases)
        stop = start + size
        shared = (update.bounds, update.factors[group : group + 1], update.table, update.counters, update.clip)
        p = memory.parameters[start:stop]
        own = (0, size, p, p)
        ahead(*(own + slice_states(update.slots, start, stop) + shared))


def range_of(layer: LayerPlaces, task: BlockPart, biases: int) -> tuple[int, int, int]:
    """Start, size and range number of the part's weights of a layer, or of its part of the bias."""
    if biases == 0:
        start, stop = inputs_of(layer, task)
        return layer.weight + start * layer.outputs, (stop - start) * layer.outputs, layer.weight_range
    if layer.bias < 0:
        return 0, 0, 0
    start, stop = outputs_of(layer, task.part, task.parts)
    return layer.bias + start, stop - start, layer.bias_range


def slice_states(slots: Any, start: int, stop: int) -> Any:
    """The same slice of each optimizer state, for two states."""
    return slots[0][start:stop], slots[1][start:stop]


def slice_one_state(slots: Any, start: int, stop: int) -> Any:
    """`slice_states` for one state."""
    return (slots[0][start:stop],)


def slice_three_states(slots: Any, start: int, stop: int) -> Any:
    """`slice_states` for three states."""
    return slots[0][start:stop], slots[1][start:stop], slots[2][start:stop]


SLICES = {1: slice_one_state, 2: slice_states, 3: slice_three_states}
