"""The compiled training loop of a fused MLP whose batches are divided among the threads by rows.

`chain` divides the inputs of each layer, so its threads wait for each other at every layer of every block. Here each
part computes its rows of the batch by itself, with all weights and a workspace of its own. The price is a gradient of
all weights for each part. It pays for large batches and few weights:

1. Each part computes the losses of its rows and adds up the gradient over its blocks, as `chain` does with one part.
   Then all threads wait.
2. Each part adds the gradients of all parts for its rows of the weights, and updates them. Then all threads wait.

The bits depend on the number of parts, not of threads.
"""

from __future__ import annotations

from typing import Any

from ...backends.addresses import call
from ...backends.machine import float_mode
from ...backends.thread_pool import share, wait
from ..accumulate_metrics import loop as accumulate_metrics
from ..advance import loop as advance
from .chain import FLUSH, prepare
from .engine import Engine, rows_at_once
from .parts import (
    GRAIN,
    BlockPart,
    DropoutStreams,
    Integers,
    Memory,
    Outputs,
    StepFunctions,
    ThreadCall,
    Tools,
    collected,
    inputs_of,
    outputs_of,
    places_of,
    whole,
)
from .product import SCRATCH
from .update import update_bias, update_weights


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
    """As `chain.steps`; `layers` has a table of layers for each part, and there are no integers."""
    mode = float_mode(FLUSH)
    call(engine.begin, 0, (tools,))
    for _ in range(run.count):
        for part in range(run.thread, run.parts, run.threads):
            task = BlockPart(part, run.parts, 0, 0, run.rows, 0)
            for level in range(layers.shape[1]):
                call(functions.ahead, functions.update, (places_of(layers[part], level), task, memory, counters))
        wait(run.thread, run.threads, flags)
        for part in range(run.thread, run.parts, run.threads):
            start, stop = share(run.rows, part, run.parts, GRAIN)
            if start > 0 or start == stop:  # the first row of a batch sets the gradient to 0
                clear(layers[part], memory.work, tools.lanes)
            for first in range(start, stop, run.block):
                task = BlockPart(0, 1, first, min(run.block, stop - first), run.rows + 1, start)
                block_gradient(
                    task, layers[part], memory, outputs, counters, functions, dropout, tools, engine, integers
                )
        wait(run.thread, run.threads, flags)
        accumulate_metrics(0, 1, outputs.scores, counters, totals)
        for part in range(run.thread, run.parts, run.threads):
            task = BlockPart(part, run.parts, 0, 0, run.rows, 0)
            for level in range(layers.shape[1]):
                update(task, level, layers, memory, counters, functions, tools)
        call(functions.clipped, functions.update, (run, layers[0], memory, counters, flags))
        advance(0, 1, counters, outputs.scores)
    call(engine.end, 0, (tools,))
    float_mode(mode)


def block_gradient(
    task: BlockPart,
    layers: Any,
    memory: Memory,
    outputs: Outputs,
    counters: Any,
    functions: StepFunctions,
    dropout: DropoutStreams,
    tools: Tools,
    engine: Engine,
    integers: Integers,
) -> None:
    """Losses of a block of rows, and the gradient that it adds to the part's; no block is the last of its batch."""
    last = layers.shape[0] - 1
    for level in range(last + 1):
        prepare(task, level, layers, memory, counters, functions, dropout, tools, integers)
        call(engine.forward, 0, (0, 1, task, places_of(layers, level), 1, memory, tools, integers))
    call(functions.output, 0, (task, layers, memory, counters, outputs, functions, dropout, tools))
    for level in range(last, -1, -1):
        layer = places_of(layers, level)
        if level > 0:
            call(functions.backward, 0, (0, layer.inputs, task, level, layers, memory, tools, engine))
        update_weights(0, layer.inputs, task, layer, memory, counters, functions, tools, engine, integers)
        if layer.bias >= 0:
            update_bias(task, layer, memory, counters, functions, tools)


def clear(layers: Any, work: Any, lanes: int) -> None:
    """Sets a part's gradient to 0."""
    for level in range(layers.shape[0]):
        layer = places_of(layers, level)
        width = whole(layer.outputs, lanes)
        gradient = work[layer.gradient : layer.gradient + width * (1 + layer.inputs)]
        for i in range(gradient.shape[0]):
            gradient[i] = 0


def update(
    task: BlockPart, level: int, layers: Any, memory: Memory, counters: Any, functions: StepFunctions, tools: Tools
) -> None:
    """Adds the gradients of all parts for the part's rows of a layer's weights and its columns of the bias; updates."""
    layer, work = places_of(layers[0], level), memory.work
    width, stride = layer.outputs, whole(layer.outputs, tools.lanes)
    grain = rows_at_once(width, GRAIN, tools.lanes)
    start, stop = inputs_of(layer, task)
    for first in range(start, stop, grain):
        size = min(grain, stop - first)
        g = tools.scratch[SCRATCH : SCRATCH + size * width]
        for row in range(size):
            total = g[row * width : (row + 1) * width]
            for part in range(task.parts):
                add(total, work, gradient_of(layers[part], level, tools) + (first + row) * stride, part)
        at, group = layer.weight + first * width, layer.weight_range
        call(functions.apply, functions.update, (memory, g, at, size * width, group, counters))
    if layer.bias >= 0:
        start, stop = outputs_of(layer, task.part, task.parts)
        total = tools.scratch[SCRATCH : SCRATCH + stop - start]
        for part in range(task.parts):
            add(total, work, places_of(layers[part], level).gradient + start, part)
        at, group = layer.bias + start, layer.bias_range
        call(functions.apply, functions.update, (memory, total, at, stop - start, group, counters))


def gradient_of(layers: Any, level: int, tools: Tools) -> int:
    """The place of a part's gradient of a layer's weights."""
    return collected(places_of(layers, level), BlockPart(0, 1, 0, 0, 0, 0), tools.lanes)


def add(total: Any, work: Any, place: int, more: int) -> None:
    """total += a part of the workspace, or = if `more` is 0."""
    source = work[place : place + total.shape[0]]
    if more == 0:
        for i in range(total.shape[0]):
            total[i] = source[i]
    else:
        for i in range(total.shape[0]):
            total[i] += source[i]
