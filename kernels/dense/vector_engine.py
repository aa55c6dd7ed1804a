"""Matrix products of a fused MLP on vector units: a product engine, see `engine`."""

from __future__ import annotations

from ...backends.claims import bounds, nearest
from .parts import (
    BlockPart,
    Integers,
    LayerPlaces,
    Matrix,
    Memory,
    Tools,
    collected,
    inputs_of,
    outputs_of,
    sums,
    whole,
)
from .product import DEPTH, SCRATCH, VECTORS, product

GRAIN, TRANSPOSED, CHUNKS = 8, 0, 3


def begin(tools: Tools) -> int:
    """Called by each thread before its first step."""
    return 0


def end(tools: Tools) -> int:
    """Called by each thread after its last step."""
    return 0


def forward_product(
    chunk: int,
    chunks: int,
    task: BlockPart,
    layer: LayerPlaces,
    into: int,
    memory: Memory,
    tools: Tools,
    integers: Integers,
) -> int:
    """`sums` = the part's columns of X times its rows of the weights, for each of `into` parts of the outputs.

    A chunk is a range of all columns.
    """
    start, stop = inputs_of(layer, task)
    grain = VECTORS * tools.lanes
    begin, end = bounds(layer.outputs, chunk, chunks)
    x = Matrix(memory.work, layer.x + start, layer.x_stride, 1)
    for target in range(into):
        low, high = outputs_of(layer, target, into)
        first, last = nearest(begin - low, high - low, grain), nearest(end - low, high - low, grain)
        if first == last:
            continue
        weights = Matrix(memory.parameters, layer.weight + start * layer.outputs + low + first, layer.outputs, 1)
        place = sums(layer, task.rows, task.part, task.parts, target, into, tools.lanes)
        out = Matrix(memory.work, place + first, whole(high - low, tools.lanes), 1)
        product(task.rows, whole(last - first, tools.lanes) // tools.lanes, stop - start, x, weights, out, 0, 0, tools)
    return 0


def input_gradient(
    start: int, stop: int, task: BlockPart, below: LayerPlaces, layer: LayerPlaces, memory: Memory, tools: Tools
) -> int:
    """Rows `start` to `stop` of W·Dᵀ, the transposed gradient of X, written to DT of the layer below."""
    weights = Matrix(memory.parameters, layer.weight + start * layer.outputs, layer.outputs, 1)
    dt = Matrix(memory.work, layer.dt, layer.dt_stride, 1)
    out = Matrix(memory.work, below.dt + start * below.dt_stride, below.dt_stride, 1)
    vectors = whole(task.rows, tools.lanes) // tools.lanes
    product(stop - start, vectors, layer.outputs, weights, dt, out, 0, 0, tools)
    return 0


def start_weight_gradient(task: BlockPart, layer: LayerPlaces, memory: Memory, tools: Tools, integers: Integers) -> int:
    """Called before the first `weight_gradient` of a block; returns its `state`."""
    return 0


def weight_gradient(
    first: int,
    size: int,
    place: int,
    state: int,
    task: BlockPart,
    layer: LayerPlaces,
    memory: Memory,
    tools: Tools,
    integers: Integers,
) -> int:
    """The gradient Xᵀ·D of the weights' rows from `first`, `size` of them; returns the next call's `state`.

    After the last block of a batch it is at `place` of the scratch memory, without spare elements.
    """
    work, scratch, width = memory.work, tools.scratch, layer.outputs
    stride, last = whole(width, tools.lanes), task.first + task.rows == task.batch
    # one panel without blocks of k: the spare elements of a row are overwritten by the next row, so none is copied
    overlapping = stride <= VECTORS * tools.lanes and task.rows == task.batch and task.rows <= DEPTH
    row = width if overlapping else stride
    g = Matrix(scratch, place if row == width else SCRATCH, row, 1)
    if task.rows < task.batch:
        g = Matrix(work, collected(layer, task, tools.lanes) + first * stride, stride, 1)
    x, d = Matrix(work, layer.x + first, 1, layer.x_stride), Matrix(work, layer.d, layer.d_stride, 1)
    copies = task.rows >= 64 and stride > tools.lanes
    product(size, stride // tools.lanes, task.rows, x, d, g, task.first, int(copies), tools)
    if last and (row != width or task.rows < task.batch):
        for r in range(size):
            source = g.values[g.start + r * stride : g.start + r * stride + width]
            target = scratch[place + r * width : place + (r + 1) * width]
            for j in range(width):
                target[j] = source[j]
    return 0
