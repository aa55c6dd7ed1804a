"""Matrix products of a fused MLP on vector units.

The loop uses products only through these seven functions. `matrix_unit` has the same seven for a matrix unit; a plan
may replace these by those.
"""

from __future__ import annotations

from ..counters import CURSOR
from .parts import (
    BlockPart,
    Integers,
    LayerPlaces,
    Matrix,
    Memory,
    Source,
    Tools,
    Update,
    inputs_of,
    outputs_of,
    sums,
    whole,
)
from .product import LEFT, NEITHER, RIGHT, SCRATCH, product
from .update import HOT, ROWS, apply, collected

MANY = 128  # rows from which copying the block of weights is faster


def begin_products() -> None:
    """Called by each thread before its first step."""


def end_products() -> None:
    """Called by each thread after its last step."""


def reads_transposed(task: BlockPart) -> bool:
    """Whether `update_weights` reads D transposed."""
    return False


def load_batch(task: BlockPart, layer: LayerPlaces, memory: Memory, source: Source, integers: Integers) -> None:
    """The part's columns of the first layer's X: those of the batch, standardised if there is a mean."""
    start, stop = inputs_of(layer, task)
    work, data, order = memory.work, source.data, source.order
    real, cursor = work.dtype.type, source.counters[CURSOR] + task.first
    standard = source.mean.shape[0] > 0
    mean, scale = source.mean[start:stop], source.scale[start:stop]
    for row in range(task.rows):
        x = data[order[cursor + row]][start:stop]
        at = layer.x + row * layer.x_stride + start
        y = work[at : at + stop - start]
        if standard:
            for j in range(stop - start):
                y[j] = (real(x[j]) - mean[j]) * scale[j]
        else:
            for j in range(stop - start):
                y[j] = x[j]


def forward_product(
    task: BlockPart, layer: LayerPlaces, into: int, memory: Memory, tools: Tools, integers: Integers
) -> None:
    """`sums` = the part's columns of X times its rows of the weights, for each of `into` parts of the outputs."""
    start, stop = inputs_of(layer, task)
    x = Matrix(memory.work, layer.x + start, layer.x_stride, 1)
    copies = RIGHT if task.rows >= MANY else NEITHER
    for target in range(into):
        low, high = outputs_of(layer, target, into)
        width = whole(high - low, tools.lanes)
        weights = Matrix(memory.parameters, layer.weight + start * layer.outputs + low, layer.outputs, 1)
        place = sums(layer, task.rows, task.part, task.parts, target, into, tools.lanes)
        out = Matrix(memory.work, place, width, 1)
        product(task.rows, width // tools.lanes, stop - start, x, weights, out, 0, copies, tools)


def input_gradient(task: BlockPart, below: LayerPlaces, layer: LayerPlaces, memory: Memory, tools: Tools) -> None:
    """The part's rows of W·Dᵀ, the transposed gradient of X, written to DT of the layer below."""
    start, stop = inputs_of(layer, task)
    weights = Matrix(memory.parameters, layer.weight + start * layer.outputs, layer.outputs, 1)
    dt = Matrix(memory.work, layer.dt, layer.dt_stride, 1)
    out = Matrix(memory.work, below.dt + start * below.dt_stride, below.dt_stride, 1)
    vectors = whole(task.rows, tools.lanes) // tools.lanes
    product(stop - start, vectors, layer.outputs, weights, dt, out, 0, NEITHER, tools)


def update_weights(
    task: BlockPart, layer: LayerPlaces, memory: Memory, update: Update, tools: Tools, integers: Integers
) -> None:
    """The gradient Xᵀ·D of the part's rows of the weights, some rows at a time; updates them after the last block."""
    work, hot, lanes = memory.work, tools.scratch[SCRATCH:], tools.lanes
    start, stop = inputs_of(layer, task)
    width, gradient = layer.outputs, collected(layer, task, lanes)
    stride = whole(width, lanes)
    grain = min(ROWS, max(8, HOT // stride // 8 * 8))
    several, last = task.rows < task.batch, task.first + task.rows == task.batch
    copies = LEFT if task.rows >= 64 and stride > lanes else NEITHER
    d = Matrix(work, layer.d, layer.d_stride, 1)
    for i in range(start, stop, grain):
        size = min(grain, stop - i)
        x = Matrix(work, layer.x + i, 1, layer.x_stride)
        g = Matrix(work, gradient + i * stride, stride, 1) if several else Matrix(hot, 0, stride, 1)
        product(size, stride // lanes, task.rows, x, d, g, task.first, copies, tools)
        if last:
            compact = g.values[g.start :]
            if stride != width:
                compact = hot[grain * stride :]
                for r in range(size):
                    row = g.values[g.start + r * stride : g.start + r * stride + width]
                    target = compact[r * width : (r + 1) * width]
                    for j in range(width):
                        target[j] = row[j]
            apply(memory, compact, layer.weight + i * width, size * width, layer.weight_range, update)
