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
   adds up its columns of all products, adds the bias and applies activation and dropout: its columns of the next
   layer's X.
2. Loss: here the rows of the batch are divided. Each part computes the outputs and losses of its rows, and D, the
   gradient before the activation.
3. Backward and update, from the last layer to the first: each part computes its columns of the gradient of X (the D
   of the layer below), then the gradient of its rows of W, and updates them. Then all threads wait.
4. Only if the gradient is clipped by its norm: 3 keeps the gradients, and each part updates its weights here, once the
   norm is known.

A batch is processed in blocks of rows that fit into cache. The bits depend on the number of parts, not of threads.
"""

from __future__ import annotations

from typing import Any

from ...backends.addresses import call
from ...backends.machine import float_mode
from ...backends.thread_pool import wait
from ...backends.vectors import turn
from ..accumulate_metrics import loop as accumulate_metrics
from ..advance import loop as advance
from .elementwise import activate, add_products, differentiate, drop_out
from .engine import Engine
from .few_rows import few
from .few_rows import input_gradient as few_rows_gradient
from .outputs import output_layer, transpose
from .parts import (
    BlockPart,
    DropoutStreams,
    Integers,
    LayerPlaces,
    Memory,
    Outputs,
    StepFunctions,
    ThreadCall,
    Tools,
    inputs_of,
    places_of,
    sums,
    whole,
)
from .product import SCRATCH
from .update import update_bias, update_weights

FLUSH = 0x9FC0  # round to nearest, denormals are 0: decaying moments would make a step four times slower


def steps(
    run: ThreadCall,
    layers: Any,
    memory: Memory,
    outputs: Outputs,
    counters: Any,
    totals: Any,
    functions: StepFunctions,
    dropout: DropoutStreams,
    tools: Tools,
    engine: Engine,
    integers: Integers,
    flags: Any,
) -> None:
    """`run.count` steps on one thread; `layers` has a row of `LayerPlaces` per layer, `flags` are the thread pool's.

    Each thread has its own counters and totals.
    """
    mode = float_mode(FLUSH)
    call(engine.begin, 0, (tools,))
    last, no_integers = layers.shape[0] - 1, without(integers)
    for _ in range(run.count):
        if run.learn:
            for part in range(run.thread, run.parts, run.threads):
                for level in range(last + 1):
                    task = BlockPart(part, run.parts, 0, 0, run.rows, 0)
                    call(functions.ahead, functions.update, (places_of(layers, level), task, memory, counters))
        for first in range(0, run.rows, run.block):
            rows = min(run.block, run.rows - first)
            for level in range(last + 1):
                here = integers if level == 0 else no_integers
                for part in range(run.thread, run.parts, run.threads):
                    task = BlockPart(part, run.parts, first, rows, run.rows, 0)
                    forward(task, level, layers, memory, counters, functions, dropout, tools, engine, here)
                wait(run.thread, run.threads, flags)
            for part in range(run.thread, run.parts, run.threads):
                task = BlockPart(part, run.parts, first, rows, run.rows, 0)
                output_layer(task, places_of(layers, last), memory, counters, outputs, functions, dropout, tools)
            wait(run.thread, run.threads, flags)
            if first + rows == run.rows:
                accumulate_metrics(0, 1, outputs.scores, counters, totals)
            if run.learn:
                for level in range(last, -1, -1):
                    here = integers if level == 0 else no_integers
                    for part in range(run.thread, run.parts, run.threads):
                        task = BlockPart(part, run.parts, first, rows, run.rows, 0)
                        if level > 0:
                            backward(task, level, layers, memory, tools, engine)
                        elif first + rows == run.rows:
                            call(functions.prefetch, functions.source, (task, counters))
                        layer = places_of(layers, level)
                        update_weights(task, layer, memory, counters, functions, tools, engine, here)
                        if layer.bias >= 0:
                            update_bias(task, layer, memory, counters, functions, tools)
                    if level > 0:
                        wait(run.thread, run.threads, flags)
        if run.learn:
            call(functions.clipped, functions.update, (run, layers, memory, counters, flags))
        advance(0, 1, counters, outputs.scores)
    call(engine.end, 0, (tools,))
    float_mode(mode)


def forward_products(
    run: ThreadCall, level: int, layers: Any, memory: Memory, tools: Tools, engine: Engine, integers: Integers
) -> None:
    """A thread's part of one layer's forward product, `run.count` times, for a benchmark."""
    layer, into = places_of(layers, level), run.parts if level < layers.shape[0] - 1 else 1
    integers = integers if level == 0 else without(integers)
    call(engine.begin, 0, (tools,))
    for _ in range(run.count):
        for part in range(run.thread, run.parts, run.threads):
            task = BlockPart(part, run.parts, 0, min(run.block, run.rows), run.rows, 0)
            call(engine.forward, 0, (task, layer, into, memory, tools, integers))
    call(engine.end, 0, (tools,))


def forward(
    task: BlockPart,
    level: int,
    layers: Any,
    memory: Memory,
    counters: Any,
    functions: StepFunctions,
    dropout: DropoutStreams,
    tools: Tools,
    engine: Engine,
    integers: Integers,
) -> None:
    """The part's columns of the layer's X, and their product."""
    layer, into = places_of(layers, level), task.parts if level < layers.shape[0] - 1 else 1
    if level == 0:
        call(functions.load, functions.source, (task, layer, memory, integers, counters))
    else:
        add_up(task, places_of(layers, level - 1), layer, memory, counters, dropout, tools)
    call(engine.forward, 0, (task, layer, into, memory, tools, integers))


def without(integers: Integers) -> Integers:
    """Empty `Integers`, for all layers but the first."""
    numbers, stride, centre, scale, shift = integers
    return Integers(numbers[:0], stride, centre[:0], scale[:0], shift[:0])


def add_up(
    task: BlockPart,
    below: LayerPlaces,
    layer: LayerPlaces,
    memory: Memory,
    counters: Any,
    dropout: DropoutStreams,
    tools: Tools,
) -> None:
    """The part's columns of X, from the products of the layer below."""
    work, p = memory.work, memory.parameters
    start, stop = inputs_of(layer, task)
    width = whole(stop - start, tools.lanes)
    place = sums(below, task.rows, 0, task.parts, task.part, task.parts, tools.lanes)
    bias = p[below.bias + start : below.bias + stop] if below.bias >= 0 else p[:0]
    z, strip = tools.scratch[: stop - start], tools.scratch[width:]
    for row in range(task.rows):
        at = layer.x + row * layer.x_stride + start
        y = work[at : at + stop - start]
        add_products(work, place + row * width, task.rows * width, task.parts, bias, z)
        at = below.slope + row * below.d_stride + start
        slope = work[at : at + stop - start] if below.slope >= 0 else work[:0]
        activate(z, y, slope, below)
        drop_out(y, slope, (task.first + row) * below.outputs + start, below, dropout, counters, strip)


def backward(task: BlockPart, level: int, layers: Any, memory: Memory, tools: Tools, engine: Engine) -> None:
    """The part's columns of D of the layer below, and its rows of DT if they are read later."""
    layer, below, work, lanes = places_of(layers, level), places_of(layers, level - 1), memory.work, tools.lanes
    start, stop = inputs_of(layer, task)
    width, stride = stop - start, below.dt_stride
    turned = below.dt + start * stride
    strip, wide = tools.scratch[SCRATCH:], whole(width, lanes)
    dots = few(task.rows, layer.outputs, lanes)
    if dots:
        few_rows_gradient(task, layer, memory, strip, wide)
    else:
        call(engine.input_gradient, 0, (task, below, layer, memory, tools))
    for row in range(0, task.rows, lanes):
        for i in range(0, 0 if dots else width, lanes):
            turn(work, turned + i * stride + row, stride, strip, i, wide)
        for r in range(min(lanes, task.rows - row)):
            at, y = (row + r) * below.d_stride + start, layer.x + (row + r) * layer.x_stride + start
            slope = work[below.slope + at : below.slope + at + width] if below.slope >= 0 else work[:0]
            dy, dz = strip[r * wide : r * wide + width], work[below.d + at : below.d + at + width]
            differentiate(dy, work[y : y + width], slope, dz, below)
    if level > 1 or engine.transposed:
        transpose(work, below.d + start, below.d_stride, turned, stride, 0, task.rows, width, lanes)
