"""Matrix products of a fused MLP on a matrix unit: `UNIT` replaces the seven functions of `products`.

Small batches use the vector units. A uint8 batch may be multiplied as integers, see `Integers`.
"""

from __future__ import annotations

from ...backends.matrix_unit import ALL_PAIRS, DEEP, INTEGERS_LEFT, INTEGERS_RIGHT, STEP, begin, end
from ...backends.vectors import turn
from ..counters import CURSOR
from .matrix_product import (
    ALL,
    DEPTH,
    FEW,
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
    Source,
    Tools,
    Update,
    inputs_of,
    integers_of,
    outputs_of,
    skip,
    sums,
    whole,
)
from .product import NEITHER, SCRATCH, clear, product
from .products import forward_product as forward_product_on_vectors
from .products import input_gradient as input_gradient_on_vectors
from .products import load_batch as load_floats
from .products import update_weights as update_weights_on_vectors
from .update import HOT, ROWS, apply, collected, sum_rows

SPLIT = 256  # rows of the weights that are split together


def reads_transposed(task: BlockPart) -> bool:
    """Whether `update_weights` reads D transposed."""
    return task.batch >= FEW


def load_batch(task: BlockPart, layer: LayerPlaces, memory: Memory, source: Source, integers: Integers) -> None:
    """The part's columns of the batch, as integers if they are used."""
    if integers.scale.shape[0] > 0:
        load_integers(task, layer, source, integers)
    else:
        load_floats(task, layer, memory, source, integers)


def load_integers(task: BlockPart, layer: LayerPlaces, source: Source, integers: Integers) -> None:
    """The part's columns of the batch, minus the integers nearest to their means."""
    start, stop = inputs_of(layer, task)
    numbers, stride, centre = integers.numbers, integers.stride, integers.centre[start:stop]
    place, cursor = integers_of(integers, task), source.counters[CURSOR] + task.first
    for row in range(task.rows):
        x = source.data[source.order[cursor + row]][start:stop]
        y = numbers[place + row * stride : place + row * stride + stop - start]
        for j in range(stop - start):
            y[j] = x[j] - centre[j]


def forward_product(
    task: BlockPart, layer: LayerPlaces, into: int, memory: Memory, tools: Tools, integers: Integers
) -> None:
    """`sums` = the part's columns of X times its rows of the weights, for each of `into` parts of the outputs.

    (X · scale - shift) · W equals X · (scale · W) - shift · W, so X stays an integer matrix.
    An evaluation has no panels and multiplies on the vector units.
    """
    if task.batch < FEW or tools.panels.shape[0] == 0:
        forward_product_on_vectors(task, layer, into, memory, tools, integers)
        return
    work, p, panels, lanes = memory.work, memory.parameters, tools.panels, tools.lanes
    start, stop = inputs_of(layer, task)
    rows, size, weight, length = task.rows, stop - start, layer.weight + start * layer.outputs, layer.outputs
    exact = integers.scale.shape[0] > 0
    if exact:
        shift, weights = Matrix(integers.shift, start, 1, 1), Matrix(p, weight, length, 1)
        out = Matrix(tools.scratch, SCRATCH, 0, 1)
        product(1, whole(length, lanes) // lanes, size, shift, weights, out, 0, NEITHER, tools)
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


def input_gradient(task: BlockPart, below: LayerPlaces, layer: LayerPlaces, memory: Memory, tools: Tools) -> None:
    """The part's rows of W·Dᵀ, the transposed gradient of X, written to DT of the layer below."""
    if task.batch < FEW:
        input_gradient_on_vectors(task, below, layer, memory, tools)
        return
    work, panels = memory.work, tools.panels
    start, stop = inputs_of(layer, task)
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


def update_weights(
    task: BlockPart, layer: LayerPlaces, memory: Memory, update: Update, tools: Tools, integers: Integers
) -> None:
    """The gradient Xᵀ·D of the part's rows of the weights, some rows at a time; updates them after the last block."""
    if task.batch < FEW:
        update_weights_on_vectors(task, layer, memory, update, tools, integers)
    elif integers.scale.shape[0] > 0:
        update_weights_by_integers(task, layer, memory, update, tools, integers)
    else:
        x = Matrix(memory.work, layer.x + inputs_of(layer, task)[0], layer.x_stride, 1)
        update_weights_by(x, task, layer, memory, update, tools, integers)


def update_weights_by_integers(
    task: BlockPart, layer: LayerPlaces, memory: Memory, update: Update, tools: Tools, integers: Integers
) -> None:
    """`update_weights` if the part's columns of X are integers."""
    x = Matrix(integers.numbers, integers_of(integers, task), integers.stride, 1)
    update_weights_by(x, task, layer, memory, update, tools, integers)


def update_weights_by(
    x: Matrix, task: BlockPart, layer: LayerPlaces, memory: Memory, update: Update, tools: Tools, integers: Integers
) -> None:
    """`update_weights` for the part's columns of X.

    It computes the transposed gradient Dᵀ·X in blocks of inputs, because the unit reads the rows of Dᵀ and X in
    memory order. It stays transposed while blocks of rows are added. The gradient for X · scale - shift follows from
    that for the integers X and the sums of D's rows.
    """
    work, panels, lanes, hot = memory.work, tools.panels, tools.lanes, tools.scratch[SCRATCH:]
    exact, several, last = integers.scale.shape[0] > 0, task.rows < task.batch, task.first + task.rows == task.batch
    start, stop = inputs_of(layer, task)
    rows, outputs, gradient = task.rows, layer.outputs, collected(layer, task, lanes)
    stride = whole(outputs, lanes)
    tall = (outputs + WIDE - 1) // WIDE * 2 * STEP // DEEP  # words of DT, split, for each row of X
    grain = min(ROWS, max(WIDE, HOT // stride // WIDE * WIDE))
    for k in range(0, rows, DEPTH):
        dt = Matrix(work, layer.dt + k, layer.dt_stride, 1)
        split_rows(outputs, min(DEPTH, rows - k), dt, panels, LEFT_PANELS + k * tall)
    xs = Right(x.values, x.row, work[:0], INTEGERS_RIGHT if exact else ALL_PAIRS)
    right, here = 0, Columns(stop - start, min(DEPTH, rows), x.start, 0)
    split_columns(0, ALL, here, xs, panels, right)
    total = work[layer.totals + task.part * (outputs + LINE) :][:outputs]
    if exact:
        sum_rows(task, work, layer.d, layer.d_stride, total, hot[:outputs])
    for i in range(start, stop, grain):
        size = min(grain, stop - i)
        width = whole(size, lanes)
        g = Matrix(work, gradient + i * stride, width, 1) if several else Matrix(hot, 0, width, 1)
        for k in range(0, rows, DEPTH):
            next_i, next_k = (i, k + DEPTH) if k + DEPTH < rows else (i + grain, 0)
            here = Columns(size, min(DEPTH, rows - k), x.start + k * x.row + i - start, 0)
            at = x.start + next_k * x.row + next_i - start
            then = Columns(stop - next_i, min(DEPTH, rows - next_k), at, 0)
            left = LEFT_PANELS + k * tall
            right = matrix_product(outputs, here, then, xs, g, task.first + k, left, right, tools)
        if last:
            turned = hot[grain * stride :]
            for o in range(stride - lanes, -1, -lanes):  # backwards: the last block overlaps the next row
                for r in range(0, width, lanes):
                    turn(g.values, g.start + o * width + r, width, turned, r * outputs + o, outputs)
            if exact:
                for r in range(size):
                    row, factor = turned[r * outputs : (r + 1) * outputs], integers.scale[i + r]
                    by = integers.shift[i + r]
                    for o in range(outputs):
                        row[o] = row[o] * factor - by * total[o]
            apply(memory, turned, layer.weight + i * outputs, size * outputs, layer.weight_range, update)


UNIT = {
    "begin_products": begin,
    "end_products": end,
    "reads_transposed": reads_transposed,
    "load_batch": load_batch,
    "forward_product": forward_product,
    "input_gradient": input_gradient,
    "update_weights": update_weights,
}
NOT_INTEGERS = {"load_integers": skip, "update_weights_by_integers": skip}  # for data that are not uint8
