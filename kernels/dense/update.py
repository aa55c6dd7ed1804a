"""Parameter updates of a layer of a fused MLP: the bias, and weights whose gradient has just been computed.

Gradients of weights are computed some rows at a time and used while they are in cache. They are stored completely
only if a batch has several blocks, which are added up in the workspace, or if the gradient is clipped by its norm (see
`clipping`).
"""

from __future__ import annotations

from typing import Any

from ...backends.addresses import call
from ...backends.thread_pool import share
from ..updates.adam import loop as update_parameters
from ..updates.average import loop as update_average
from ..updates.clip_values import loop as clip_values
from ..updates.l1 import subgradient_loop as add_l1
from ..updates.l1 import threshold_loop as soft_threshold
from ..updates.nesterov import ahead_loop as ahead
from .column_sums import sum_rows
from .engine import Engine, rows_at_once
from .parts import (
    BlockPart,
    Integers,
    LayerPlaces,
    Memory,
    StepFunctions,
    Tools,
    Update,
    inputs_of,
    outputs_of,
    whole,
)
from .product import SCRATCH

EVERYTHING = 1 << 62  # stop of an unlimited range


def update_weights(
    start: int,
    stop: int,
    task: BlockPart,
    layer: LayerPlaces,
    memory: Memory,
    counters: Any,
    functions: StepFunctions,
    tools: Tools,
    engine: Engine,
    integers: Integers,
) -> None:
    """The gradient of rows `start` to `stop` of the weights, some at a time; updates them after the last block."""
    width, last = layer.outputs, task.first + task.rows == task.batch
    grain = rows_at_once(width, engine.grain, tools.lanes)
    place = SCRATCH + grain * whole(width, tools.lanes)
    state = call(engine.start_gradient, 0, (task, layer, memory, tools, integers))
    pieces = (stop - start + grain - 1) // grain
    for piece in range(pieces):
        low, high = share(stop - start, piece, pieces, engine.grain)
        first, size = start + low, high - low
        state = call(engine.weight_gradient, 0, (first, size, place, state, task, layer, memory, tools, integers))
        if last:
            at, group = layer.weight + first * width, layer.weight_range
            call(functions.apply, functions.update, (memory, tools.scratch[place:], at, size * width, group, counters))


def update_bias(
    task: BlockPart, layer: LayerPlaces, memory: Memory, counters: Any, functions: StepFunctions, tools: Tools
) -> None:
    """The gradient of the part's columns of the bias; updates them after the last block of a batch."""
    hot = tools.scratch[SCRATCH:]
    start, stop = outputs_of(layer, task.part, task.parts)
    width = stop - start
    total = memory.work[layer.gradient + start :][:width] if task.rows < task.batch else hot[:width]
    sum_rows(task, memory.work, layer.d + start, layer.d_stride, total, hot[width : 2 * width])
    if task.first + task.rows == task.batch:
        at, group = layer.bias + start, layer.bias_range
        call(functions.apply, functions.update, (memory, total, at, width, group, counters))


def apply(memory: Memory, g: Any, start: int, size: int, group: int, counters: Any, update: Update) -> int:
    """Uses the gradient g of `size` parameters from `start`, which it may change."""
    options = update.options
    p, weights = memory.parameters[start : start + size], options.weights[group : group + 1]
    add_l1(0, size, p, g, update.bounds, weights, options.l1)
    clip_values(0, size, g, options.clip_value)
    use_gradient(memory, g, start, size, group, counters, update)
    return 0


def update_range(memory: Memory, g: Any, start: int, size: int, group: int, counters: Any, update: Update) -> None:
    """Updates `size` parameters from `start` with the gradient g."""
    stop, options = start + size, update.options
    p, factors = memory.parameters[start:stop], update.factors[group : group + 1]
    shared = (update.bounds, factors, update.table, counters, update.clip)
    own = (0, size, p, g)
    update_parameters(*(own + slice_states(update.slots, start, stop) + shared + update.attributes))
    weights, strength = options.weights[group : group + 1], options.threshold
    soft_threshold(0, size, p, update.bounds, factors, weights, options.rates, counters, strength)
    update_average(0, size, p, options.average[start:stop], options.average_rates, counters)


use_gradient = update_range  # `clipping.keep_gradient` if the gradient is clipped by its norm


def move_ahead(layer: LayerPlaces, task: BlockPart, memory: Memory, counters: Any, update: Update) -> int:
    """Moves the part's parameters of a layer ahead, for optimizers that take the gradient there."""
    for biases in range(2):
        start, size, group = range_of(layer, task, biases)
        stop = start + size
        shared = (update.bounds, update.factors[group : group + 1], update.table, counters, update.clip)
        p = memory.parameters[start:stop]
        own = (0, size, p, p)
        ahead(*(own + slice_states(update.slots, start, stop) + shared))
    return 0


def not_ahead(layer: LayerPlaces, task: BlockPart, memory: Memory, counters: Any, update: Update) -> int:
    """Replaces `move_ahead` for other optimizers."""
    return 0


def range_of(layer: LayerPlaces, task: BlockPart, biases: int) -> tuple[int, int, int]:
    """Start, size and range number of the part's weights of a layer, or of its part of the bias."""
    if biases == 0:
        start, stop = inputs_of(layer, task)
        return layer.weight + start * layer.outputs, (stop - start) * layer.outputs, layer.weight_range
    if layer.bias < 0:
        return 0, 0, 0
    start, stop = outputs_of(layer, task.part, task.parts)
    return layer.bias + start, stop - start, layer.bias_range


def slice_no_states(slots: Any, start: int, stop: int) -> Any:
    """`slice_states` for no states."""
    return ()


def slice_states(slots: Any, start: int, stop: int) -> Any:
    """The same slice of each optimizer state, for two states."""
    return slots[0][start:stop], slots[1][start:stop]


def slice_one_state(slots: Any, start: int, stop: int) -> Any:
    """`slice_states` for one state."""
    return (slots[0][start:stop],)


def slice_three_states(slots: Any, start: int, stop: int) -> Any:
    """`slice_states` for three states."""
    return slots[0][start:stop], slots[1][start:stop], slots[2][start:stop]


SLICES = {0: slice_no_states, 1: slice_one_state, 2: slice_states, 3: slice_three_states}
