"""The compiled training loop of a fused MLP, which every thread runs.

A fused MLP is a sequence of dense layers whose operations run as one loop; the operations of the graph define the
results. The inputs of each layer are divided into parts. Each part belongs to one thread, with its columns of X, its
rows of W and their optimizer states, which stay in that core's cache. For two parts:

          X: rows × inputs         W: inputs × outputs
         ┌────────┬────────┐      ┌───────────────────┐
         │        │        │      │       part 0      │
         │ part 0 │ part 1 │   ·  ├───────────────────┤   =   product 0 + product 1
         │        │        │      │       part 1      │
         └────────┴────────┘      └───────────────────┘

1. Forward: each part multiplies its columns of X by its rows of W. All threads wait for each other. Then each part
   adds up its columns of all products, adds the bias and applies the activation: its columns of the next layer's X.
2. Loss: here the rows of the batch are divided. Each part computes the outputs and losses of its rows, and D, the
   gradient before the activation.
3. Backward and update, from the last layer to the first: each part computes its columns of the gradient of X (the D
   of the layer below), then the gradient of its rows of W, and updates them. Then all threads wait.

A batch is processed in blocks of rows that fit into cache. The bits depend on the number of parts, not of threads.
"""

from __future__ import annotations

from typing import Any

from ...backends.machine import float_mode, prefetch, turn
from ...backends.thread_pool import share, wait
from ..accumulate_metrics import loop as accumulate_metrics
from ..activations.activation import backward_loop as activation_backward
from ..advance import loop as advance
from ..counters import CURSOR
from .outputs import activate, output_layer, transpose
from .parts import (
    GRAIN,
    BlockPart,
    Integers,
    LayerPlaces,
    Memory,
    Outputs,
    Source,
    ThreadCall,
    Tools,
    Update,
    inputs_of,
    places_of,
    skip,
    sums,
    whole,
)
from .product import SCRATCH
from .products import (
    begin_products,
    end_products,
    forward_product,
    input_gradient,
    load_batch,
    reads_transposed,
    update_weights,
)
from .update import update_bias

FLUSH = 0x9FC0  # round to nearest, denormals are 0: decaying moments would make a step four times slower


def steps(
    run: ThreadCall,
    layers: Any,
    memory: Memory,
    source: Source,
    outputs: Outputs,
    totals: Any,
    update: Update,
    tools: Tools,
    integers: Integers,
    flags: Any,
) -> None:
    """`run.count` steps on one thread; `layers` has a row of `LayerPlaces` per layer, `flags` are the thread pool's.

    Each thread has its own counters and totals.
    """
    mode = float_mode(FLUSH)
    begin_products()
    last, no_integers = layers.shape[0] - 1, without(integers)
    for _ in range(run.count):
        for first in range(0, run.rows, run.block):
            rows = min(run.block, run.rows - first)
            for level in range(last + 1):
                here = integers if level == 0 else no_integers
                for part in range(run.thread, run.parts, run.threads):
                    task = BlockPart(part, run.parts, first, rows, run.rows)
                    forward(task, level, layers, memory, source, tools, here)
                wait(run.thread, run.threads, flags)
            for part in range(run.thread, run.parts, run.threads):
                task = BlockPart(part, run.parts, first, rows, run.rows)
                output_layer(task, places_of(layers, last), memory, source, outputs, tools)
            wait(run.thread, run.threads, flags)
            if first + rows == run.rows:
                accumulate_metrics(0, 1, outputs.scores, source.counters, totals)
            if run.learn:
                for level in range(last, -1, -1):
                    here = integers if level == 0 else no_integers
                    for part in range(run.thread, run.parts, run.threads):
                        task = BlockPart(part, run.parts, first, rows, run.rows)
                        if level > 0:
                            backward(task, level, layers, memory, tools)
                        elif first + rows == run.rows:
                            prefetch_next(task, source)
                        update_layer(task, level, layers, memory, update, tools, here)
                    if level > 0:
                        wait(run.thread, run.threads, flags)
        advance(0, 1, source.counters, outputs.scores)
    end_products()
    float_mode(mode)


def forward_products(
    run: ThreadCall, level: int, layers: Any, memory: Memory, tools: Tools, integers: Integers
) -> None:
    """A thread's part of one layer's forward product, `run.count` times, for a benchmark."""
    layer, into = places_of(layers, level), run.parts if level < layers.shape[0] - 1 else 1
    integers = integers if level == 0 else without(integers)
    begin_products()
    for _ in range(run.count):
        for part in range(run.thread, run.parts, run.threads):
            task = BlockPart(part, run.parts, 0, min(run.block, run.rows), run.rows)
            forward_product(task, layer, into, memory, tools, integers)
    end_products()


def forward(
    task: BlockPart, level: int, layers: Any, memory: Memory, source: Source, tools: Tools, integers: Integers
) -> None:
    """The part's columns of the layer's X, and their product."""
    layer, into = places_of(layers, level), task.parts if level < layers.shape[0] - 1 else 1
    if level == 0:
        load_batch(task, layer, memory, source, integers)
    else:
        add_up(task, places_of(layers, level - 1), layer, memory, tools)
    forward_product(task, layer, into, memory, tools, integers)


def without(integers: Integers) -> Integers:
    """Empty `Integers`, for all layers but the first."""
    numbers, stride, centre, scale, shift = integers
    return Integers(numbers[:0], stride, centre[:0], scale[:0], shift[:0])


def add_up(task: BlockPart, below: LayerPlaces, layer: LayerPlaces, memory: Memory, tools: Tools) -> None:
    """The part's columns of X, from the products of the layer below."""
    work, p = memory.work, memory.parameters
    start, stop = inputs_of(layer, task)
    width = whole(stop - start, tools.lanes)
    place = sums(below, task.rows, 0, task.parts, task.part, task.parts, tools.lanes)
    bias = p[below.bias + start : below.bias + stop] if below.bias >= 0 else p[:0]
    for row in range(task.rows):
        at = layer.x + row * layer.x_stride + start
        y = work[at : at + stop - start]
        products = place + row * width
        activate(work, products, task.rows * width, task.parts, bias, tools.scratch, y, below.activation)


def backward(task: BlockPart, level: int, layers: Any, memory: Memory, tools: Tools) -> None:
    """The part's columns of D of the layer below, and its rows of DT if they are read later."""
    layer, below, work, lanes = places_of(layers, level), places_of(layers, level - 1), memory.work, tools.lanes
    input_gradient(task, below, layer, memory, tools)
    start, stop = inputs_of(layer, task)
    width, stride = stop - start, below.dt_stride
    turned = below.dt + start * stride
    strip, wide = tools.scratch[SCRATCH:], whole(width, lanes)
    for row in range(0, task.rows, lanes):
        for i in range(0, width, lanes):
            turn(work, turned + i * stride + row, stride, strip, i, wide)
        for r in range(min(lanes, task.rows - row)):
            at, y = below.d + (row + r) * below.d_stride + start, layer.x + (row + r) * layer.x_stride + start
            dy = strip[r * wide : r * wide + width]
            activation_backward(0, width, dy, work[y : y + width], work[at : at + width], below.activation)
    if level > 1 or reads_transposed(task):
        transpose(work, below.d + start, below.d_stride, turned, stride, 0, task.rows, width, lanes)


def update_layer(
    task: BlockPart, level: int, layers: Any, memory: Memory, update: Update, tools: Tools, integers: Integers
) -> None:
    """Gradients of the part's rows of weights and columns of the bias; updates them after the last block."""
    layer = places_of(layers, level)
    update_weights(task, layer, memory, update, tools, integers)
    if layer.bias >= 0:
        update_bias(task, layer, memory, update, tools)


def prefetch_next(task: BlockPart, source: Source) -> None:
    """Prefetches the part's columns of the next batch (128 uint8 rows: 15 instead of 32 µs)."""
    data, order = source.data, source.order
    start, stop = share(data.shape[1], task.part, task.parts, GRAIN)
    line, flat = max(1, 64 // data.itemsize), data.reshape(-1)
    following = source.counters[CURSOR] + task.batch
    for i in range(following, min(following + task.batch, order.shape[0])):
        row = order[i] * data.shape[1]
        for at in range(row + start, row + stop, line):
            prefetch(flat, at)


NOT_LEARNING = {"prefetch_next": skip, "backward": skip, "update_layer": skip}  # when only losses are computed
