"""Matrix products of a fused MLP on a matrix unit: a product engine, see `engine`.

A uint8 batch may be multiplied as integers, see `Integers`.
"""

from __future__ import annotations

from ...backends.matrix_unit import ALL_PAIRS, DEEP, INTEGERS_LEFT, INTEGERS_RIGHT, STEP
from ...backends.matrix_unit import begin as configure
from ...backends.matrix_unit import end as release
from ...backends.vectors import turn
from .column_sums import sum_rows
from .matrix_product import (
    ALL,
    DEPTH,
    LEFT_PANELS,
    WIDE,
    Columns,
    Right,
    matrix_product,
    split_columns,
    split_rows,
)
from .parts import (
    LINE,
    BlockPart,
    Integers,
    LayerPlaces,
    Matrix,
    Memory,
    Tools,
    collected,
    inputs_of,
    integers_of,
    outputs_of,
    skip,
    sums,
    whole,
)
from .product import SCRATCH, clear, product

GRAIN, TRANSPOSED, CHUNKS = WIDE, 1, 1
SPLIT = 256  # rows of the weights that are split together


def begin(tools: Tools) -> int:
    """Called by each thread before its first step."""
    configure()
    return 0


def end(tools: Tools) -> int:
    """Called by each thread after its last step."""
    release()
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

    A part has one chunk here. (X · scale - shift) · W equals X · (scale · W) - shift · W, so X stays an integer matrix.
    """
    work, p, panels, lanes = memory.work, memory.parameters, tools.panels, tools.lanes
    start, stop = inputs_of(layer, task)
    rows, size, weight, length = task.rows, stop - start, layer.weight + start * layer.outputs, layer.outputs
    exact = integers.scale.shape[0] > 0
    if exact:
        shift, weights = Matrix(integers.shift, start, 1, 1), Matrix(p, weight, length, 1)
        out = Matrix(tools.scratch, SCRATCH, 0, 1)
        product(1, whole(length, lanes) // lanes, size, shift, weights, out, 0, 0, tools)
    for target in range(into if size == 0 or exact else 0):
        low, high = outputs_of(layer, target, into)
        place, width = sums(layer, rows, task.part, task.parts, target, into, lanes), whole(high - low, lanes)
        clear(rows, width, Matrix(work, place, width, 1), 0)
        for row in range(rows if exact else 0):
            y = work[place + row * width : place + row * width + high - low]
            for j in range(high - low):
                y[j] = -tools.scratch[SCRATCH + low + j]
    low, high = outputs_of(layer, 0, into)
    weights = Right(p, length, integers.scale, INTEGERS_LEFT if exact else ALL_PAIRS)
    right, here = 0, Columns(high - low, min(DEPTH, size), weight + low, start)
    split_columns(0, ALL, here, weights, panels, right)
    for k in range(0, size, DEPTH):
        deep = min(DEPTH, size - k)
        if exact:
            at = integers_of(integers, task) + k
            split_rows(rows, deep, Matrix(integers.numbers, at, integers.stride, 1), panels, LEFT_PANELS)
        else:
            split_rows(rows, deep, Matrix(work, layer.x + start + k, layer.x_stride, 1), panels, LEFT_PANELS)
        for target in range(into):
            low, high = outputs_of(layer, target, into)
            place, width = sums(layer, rows, task.part, task.parts, target, into, lanes), whole(high - low, lanes)
            here = Columns(high - low, deep, weight + k * length + low, start + k)
            following, next_k = (target + 1, k) if target + 1 < into else (0, k + DEPTH)
            next_low, next_high = outputs_of(layer, following, into)
            columns = next_high - next_low if next_k < size else 0
            then = Columns(columns, min(DEPTH, size - next_k), weight + next_k * length + next_low, start + next_k)
            out, more = Matrix(work, place, width, 1), k + int(exact)
            right = matrix_product(rows, here, then, weights, out, more, LEFT_PANELS, right, tools)
    return 0


def input_gradient(
    start: int, stop: int, task: BlockPart, below: LayerPlaces, layer: LayerPlaces, memory: Memory, tools: Tools
) -> int:
    """Rows `start` to `stop` of W·Dᵀ, the transposed gradient of X, written to DT of the layer below."""
    work, panels = memory.work, tools.panels
    rows, depth, stride = task.rows, layer.outputs, below.dt_stride
    dt = Right(work, layer.dt_stride, work[:0], ALL_PAIRS)
    right, here = 0, Columns(rows, min(DEPTH, depth), layer.dt, 0)
    split_columns(0, ALL, here, dt, panels, right)
    for row in range(start, stop, SPLIT):
        some = min(SPLIT, stop - row)
        for k in range(0, depth, DEPTH):
            deep, next_k = min(DEPTH, depth - k), k + DEPTH if k + DEPTH < depth else 0
            weights = Matrix(memory.parameters, layer.weight + row * depth + k, depth, 1)
            split_rows(some, deep, weights, panels, LEFT_PANELS)
            here = Columns(rows, deep, layer.dt + k * layer.dt_stride, 0)
            then = Columns(rows, min(DEPTH, depth - next_k), layer.dt + next_k * layer.dt_stride, 0)
            out = Matrix(work, below.dt + row * stride, stride, 1)
            right = matrix_product(some, here, then, dt, out, k, LEFT_PANELS, right, tools)
    return 0


def start_weight_gradient(task: BlockPart, layer: LayerPlaces, memory: Memory, tools: Tools, integers: Integers) -> int:
    """Splits DT and the first columns of X; returns the `state` of the first `weight_gradient`."""
    if integers.scale.shape[0] == 0:
        return start_with(floats_of(task, layer, memory), ALL_PAIRS, task, layer, memory, tools)
    work, outputs = memory.work, layer.outputs
    hot = tools.scratch[SCRATCH:]
    total = totals_of(task, layer)
    sum_rows(task, work, layer.d, layer.d_stride, work[total : total + outputs], hot[:outputs])
    return start_with_integers(task, layer, memory, tools, integers)


def start_with_integers(task: BlockPart, layer: LayerPlaces, memory: Memory, tools: Tools, integers: Integers) -> int:
    """`start_with` for a batch of integers."""
    return start_with(integers_matrix(task, integers), INTEGERS_RIGHT, task, layer, memory, tools)


def start_with(x: Matrix, pairs: int, task: BlockPart, layer: LayerPlaces, memory: Memory, tools: Tools) -> int:
    """`start_weight_gradient` for the part's columns of X."""
    start, stop = inputs_of(layer, task)
    for k in range(0, task.rows, DEPTH):
        dt = Matrix(memory.work, layer.dt + k, layer.dt_stride, 1)
        split_rows(layer.outputs, min(DEPTH, task.rows - k), dt, tools.panels, LEFT_PANELS + k * tall(layer))
    here = Columns(stop - start, min(DEPTH, task.rows), x.start, 0)
    split_columns(0, ALL, here, Right(x.values, x.row, memory.work[:0], pairs), tools.panels, 0)
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
    """The gradient of the weights' rows from `first`, as `vector_engine.weight_gradient`."""
    if integers.scale.shape[0] > 0:
        return weight_gradient_of_integers(first, size, place, state, task, layer, memory, tools, integers)
    x = floats_of(task, layer, memory)
    return weight_gradient_of(x, ALL_PAIRS, first, size, place, state, task, layer, memory, tools, integers)


def weight_gradient_of_integers(
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
    """`weight_gradient` for a batch of integers."""
    x = integers_matrix(task, integers)
    return weight_gradient_of(x, INTEGERS_RIGHT, first, size, place, state, task, layer, memory, tools, integers)


def weight_gradient_of(
    x: Matrix,
    pairs: int,
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
    """`weight_gradient` for the part's columns of X.

    It computes the transposed gradient Dᵀ·X in blocks of inputs, because the unit reads the rows of Dᵀ and X in
    memory order. It stays transposed while blocks of rows are added. The gradient for X · scale - shift follows from
    that for the integers X and the sums of D's rows.
    """
    lanes, rows, outputs = tools.lanes, task.rows, layer.outputs
    start, stop = inputs_of(layer, task)
    xs, stride, width = Right(x.values, x.row, memory.work[:0], pairs), whole(outputs, lanes), whole(size, lanes)
    g = Matrix(tools.scratch, SCRATCH, width, 1)
    if rows < task.batch:
        g = Matrix(memory.work, collected(layer, task, lanes) + first * stride, width, 1)
    for k in range(0, rows, DEPTH):
        next_first, next_k = (first, k + DEPTH) if k + DEPTH < rows else (first + size, 0)
        here = Columns(size, min(DEPTH, rows - k), x.start + k * x.row + first - start, 0)
        at = x.start + next_k * x.row + next_first - start
        then = Columns(stop - next_first, min(DEPTH, rows - next_k), at, 0)
        left = LEFT_PANELS + k * tall(layer)
        state = matrix_product(outputs, here, then, xs, g, task.first + k, left, state, tools)
    if task.first + rows == task.batch:
        turned = tools.scratch[place:]
        for o in range(stride - lanes, -1, -lanes):  # backwards: the last block overlaps the next row
            for r in range(0, width, lanes):
                turn(g.values, g.start + o * width + r, width, turned, r * outputs + o, outputs)
        if integers.scale.shape[0] > 0:
            total = totals_of(task, layer)
            for r in range(size):
                row, factor = turned[r * outputs : (r + 1) * outputs], integers.scale[first + r]
                by = integers.shift[first + r]
                for o in range(outputs):
                    row[o] = row[o] * factor - by * memory.work[total + o]
    return state


def tall(layer: LayerPlaces) -> int:
    """Words of DT, split, for each row of X."""
    return (layer.outputs + WIDE - 1) // WIDE * 2 * STEP // DEEP


def floats_of(task: BlockPart, layer: LayerPlaces, memory: Memory) -> Matrix:
    """The part's columns of X."""
    return Matrix(memory.work, layer.x + inputs_of(layer, task)[0], layer.x_stride, 1)


def integers_matrix(task: BlockPart, integers: Integers) -> Matrix:
    """The part's columns of a batch of integers."""
    return Matrix(integers.numbers, integers_of(integers, task), integers.stride, 1)


def totals_of(task: BlockPart, layer: LayerPlaces) -> int:
    """The place of the sums of D's rows."""
    return layer.totals + task.part * (layer.outputs + LINE)


NO_INTEGERS = {"start_with_integers": skip, "weight_gradient_of_integers": skip}  # for data that are not uint8
