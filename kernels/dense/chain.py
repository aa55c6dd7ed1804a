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
   From `engine.CLAIMED` rows on, the products of 1 and 3 and the updates are divided into chunks. A thread that has
   none left takes over some of another part's, see `claims`.
4. Only if the gradient is clipped by its norm: 3 keeps the gradients, and each part updates its weights here, once the
   norm is known.

A batch is processed in blocks of rows that fit into cache. The bits depend on the number of parts, not of threads.
"""

from __future__ import annotations

from typing import Any

from ...backends.addresses import call
from ...backends.claims import bounds, claim, nearest, offer
from ...backends.machine import float_mode
from ...backends.thread_pool import wait
from ..accumulate_metrics import loop as accumulate_metrics
from ..advance import loop as advance
from .engine import APART, Engine, chunks_of
from .parts import (
    BlockPart,
    DropoutStreams,
    Integers,
    Memory,
    Outputs,
    StepFunctions,
    ThreadCall,
    Tools,
    inputs_of,
    places_of,
)
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
                here, layer = integers if level == 0 else no_integers, places_of(layers, level)
                for part in range(run.thread, run.parts, run.threads):
                    task = BlockPart(part, run.parts, first, rows, run.rows, 0)
                    prepare(task, level, layers, memory, counters, functions, dropout, tools, here)
                if chunks_of(rows, run.parts, layer, engine) > 1:
                    offer(run.thread, flags)
                forward_chunks(run, first, rows, level, layers, memory, tools, engine, here, flags)
                wait(run.thread, run.threads, flags)
            for part in range(run.thread, run.parts, run.threads):
                task = BlockPart(part, run.parts, first, rows, run.rows, 0)
                call(functions.output, 0, (task, layers, memory, counters, outputs, functions, dropout, tools))
            wait(run.thread, run.threads, flags)
            if first + rows == run.rows:
                accumulate_metrics(0, 1, outputs.scores, counters, totals)
            if run.learn:
                for level in range(last, -1, -1):
                    here, layer = integers if level == 0 else no_integers, places_of(layers, level)
                    shared = chunks_of(rows, run.parts, layer, engine) > 1
                    if shared:
                        offer(run.thread, flags)
                    for part in range(run.thread, run.parts, run.threads):
                        task = BlockPart(part, run.parts, first, rows, run.rows, 0)
                        if level == 0 and first + rows == run.rows:
                            call(functions.prefetch, functions.source, (task, counters))
                        if layer.bias >= 0:
                            update_bias(task, layer, memory, counters, functions, tools)
                    backward_chunks(
                        run, first, rows, level, layers, memory, counters, functions, tools, engine, here, flags
                    )
                    if level > 0 or shared:  # others write this part's weights
                        wait(run.thread, run.threads, flags)
        if run.learn:
            call(functions.clipped, functions.update, (run, layers, memory, counters, flags))
        advance(0, 1, counters, outputs.scores)
    call(engine.end, 0, (tools,))
    float_mode(mode)


def forward_chunks(
    run: ThreadCall,
    first: int,
    rows: int,
    level: int,
    layers: Any,
    memory: Memory,
    tools: Tools,
    engine: Engine,
    integers: Integers,
    flags: Any,
) -> None:
    """The forward products of a layer: those chunks that this thread claims, first those of its own parts."""
    layer, into = places_of(layers, level), run.parts if level < layers.shape[0] - 1 else 1
    chunks = chunks_of(rows, run.parts, layer, engine)
    shared = chunks > 1
    for other in range(run.threads if shared else 1):
        owner = (run.thread + other) % run.threads
        count = parts_of(owner, run) * chunks
        number = claim(owner, count, run.thread, flags) if shared else 0
        while number < count:
            task = BlockPart(owner + number // chunks * run.threads, run.parts, first, rows, run.rows, 0)
            call(engine.forward, 0, (number % chunks, chunks, task, layer, into, memory, tools, integers))
            number = claim(owner, count, run.thread, flags) if shared else number + 1


def backward_chunks(
    run: ThreadCall,
    first: int,
    rows: int,
    level: int,
    layers: Any,
    memory: Memory,
    counters: Any,
    functions: StepFunctions,
    tools: Tools,
    engine: Engine,
    integers: Integers,
    flags: Any,
) -> None:
    """The backward products and the updates of a layer's weights, as `forward_chunks`."""
    layer = places_of(layers, level)
    chunks = chunks_of(rows, run.parts, layer, engine)
    shared = chunks > 1
    for other in range(run.threads if shared else 1):
        owner = (run.thread + other) % run.threads
        count = parts_of(owner, run) * chunks
        number = claim(owner, count, run.thread, flags) if shared else 0
        while number < count:
            task = BlockPart(owner + number // chunks * run.threads, run.parts, first, rows, run.rows, 0)
            low, high = inputs_of(layer, task)
            begin, end = bounds(high - low, number % chunks, chunks)
            start, stop = low + nearest(begin, high - low, APART), low + nearest(end, high - low, APART)
            if level > 0 and start < stop:
                call(functions.backward, 0, (start, stop, task, level, layers, memory, tools, engine))
            update_weights(start, stop, task, layer, memory, counters, functions, tools, engine, integers)
            number = claim(owner, count, run.thread, flags) if shared else number + 1


def parts_of(thread: int, run: ThreadCall) -> int:
    """The number of a thread's parts, which are those from `thread` on in steps of `run.threads`."""
    return (run.parts - thread + run.threads - 1) // run.threads


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
            call(engine.forward, 0, (0, 1, task, layer, into, memory, tools, integers))
    call(engine.end, 0, (tools,))


def prepare(
    task: BlockPart,
    level: int,
    layers: Any,
    memory: Memory,
    counters: Any,
    functions: StepFunctions,
    dropout: DropoutStreams,
    tools: Tools,
    integers: Integers,
) -> None:
    """The part's columns of the layer's X."""
    if level == 0:
        call(functions.load, functions.source, (task, places_of(layers, level), memory, integers, counters))
    else:
        call(functions.hidden, 0, (task, level, layers, memory, counters, dropout, tools))


def without(integers: Integers) -> Integers:
    """Empty `Integers`, for all layers but the first."""
    numbers, stride, centre, scale, shift = integers
    return Integers(numbers[:0], stride, centre[:0], scale[:0], shift[:0])
