"""Whole steps of a chain of dense layers as one compiled loop, run by every thread of a team.

The list of operations that it stands for is its definition. Each layer's inputs are divided into parts, and a part
belongs to one thread, with the rows of the weights, the optimizer's states and the activations that go with them:
they stay in that core's cache. Forward, a part multiplies what it has, and the parts' products are added up.
Backward, it finds its rows of the weights' gradient and updates them (`dense_update`). The bits depend on the number
of parts, not on that of the threads.

A batch is taken in blocks of rows that fit into cache. `work` is one flat buffer; `layers`, one row a layer, says
where what begins in it.
"""

from __future__ import annotations

from typing import Any

from ..backends.machine import borrow, float_mode, prefetch, turn
from ..backends.matrix_unit import begin, end
from ..backends.team import share, wait
from .activation import backward_loop as slope
from .activation import forward_loop as activation
from .advance import loop as advance
from .counters import CURSOR
from .dense_update import fit
from .gather import loop as gather
from .matrix_product import ALL, DEPTH, FEW, LEFT_PANELS, WIDE, matrix_product, split_columns, split_rows
from .product import NEITHER, RIGHT, SCRATCH, plain, product
from .softmax_cross_entropy import loop as lose
from .tally import loop as tally

# Columns of `layers`: widths, offsets in the arena (-1: no bias), rows of `factors`, then places in `work`.
# X (rows, inputs) is what the layer reads, D (rows, outputs) the gradient before the activation of what it writes,
# DT that transposed. SUMS are the parts' products, and GRADIENT collects over blocks.
INPUTS, OUTPUTS, WEIGHT, BIAS, WEIGHT_RANGE, BIAS_RANGE, ACTIVATION = range(7)
X, X_STRIDE, D, D_STRIDE, DT, DT_STRIDE, SUMS, GRADIENT = range(7, 15)
FIELDS = 15

GRAIN = 8  # inputs that stay together: the rows of a tile
MANY = 128  # rows from which a copy of the weights' block pays
SPLIT = 256  # rows of the weights that are split at a time
NEAR = 4096  # outputs that are finished before the next, in a first-level cache
FLUSH = 0x9FC0  # rounding to nearest, denormal numbers taken as 0: fading moments would slow a step fourfold


def steps(
    thread: int,
    threads: int,
    parts: int,
    count: int,
    rows: int,
    block: int,
    learn: int,
    layers: Any,
    work: Any,
    flags: Any,
    source: Any,
    p: Any,
    optimizer: Any,
    ends: Any,
    totals: Any,
    tools: Any,
) -> None:
    """`count` steps of `rows` rows, with `learn` 0 their losses alone.

    `source` is (data, targets, order, mean, scale), `optimizer` what `fit` takes, with the thread's own counters,
    `ends` the batch's (outputs, doutputs, target, scores), and `tools` (scratch, lanes, tile height, panels), where
    `panels` are empty without a matrix unit.
    """
    mode = float_mode(FLUSH)
    begin()
    layers, work, p = borrow(layers), borrow(work), borrow(p)
    data, targets, order, mean, scale = source
    source = borrow(data), borrow(targets), borrow(order), borrow(mean), borrow(scale)
    outputs, doutputs, target, scores = ends
    ends = borrow(outputs[:rows]), borrow(doutputs[:rows]), borrow(target[:rows]), borrow(scores[:rows])
    tools = borrow(tools[0]), tools[1], tools[2], borrow(tools[3] if rows >= FEW else tools[3][:0])
    counters, last, several = optimizer[0], layers.shape[0] - 1, 1 if rows > block else 0
    for _ in range(count):
        for first in range(0, rows, block):
            n = min(block, rows - first)
            done = 1 if first + n == rows else 0
            for level in range(last + 1):
                for part in range(thread, parts, threads):
                    if level == 0:
                        read(part, parts, first, n, layers[0], work, source, counters)
                    else:
                        join(part, parts, n, layers[level - 1], layers[level], work, p, tools)
                    multiply(part, parts, n, layers[level], parts if level < last else 1, work, p, tools)
                wait(thread, threads, flags)
            for part in range(thread, parts, threads):
                finish(part, parts, first, n, layers[last], work, source, counters, p, ends, tools)
            wait(thread, threads, flags)
            if done:
                tally(0, 1, ends[3], counters, totals)
            if learn:
                for level in range(last, -1, -1):
                    for part in range(thread, parts, threads):
                        if level > 0:
                            backward(part, parts, n, level > 1, layers[level - 1], layers[level], work, p, tools)
                        elif done:
                            fetch(part, parts, rows, source, counters)
                        fit(part, parts, n, layers[level], work, p, optimizer, tools, several, first, done)
                    if level > 0:
                        wait(thread, threads, flags)
        advance(0, 1, counters, ends[3])
    end()
    float_mode(mode)


def read(part: int, parts: int, first: int, n: int, layer: Any, work: Any, source: Any, counters: Any) -> None:
    """The part's columns of the batch, standardised where there is a mean: as `gather_standardized`, for columns."""
    start, stop = share(layer[INPUTS], part, parts, GRAIN)
    data, _, order, mean, scale = source
    real, cursor = work.dtype.type, counters[CURSOR] + first
    standard = mean.shape[0] > 0
    mean, scale = mean[start:stop], scale[start:stop]
    for row in range(n):
        x = data[order[cursor + row]][start:stop]
        at = layer[X] + row * layer[X_STRIDE] + start
        y = work[at : at + stop - start]
        if standard:
            for j in range(stop - start):
                y[j] = (real(x[j]) - mean[j]) * scale[j]
        else:
            for j in range(stop - start):
                y[j] = x[j]


def fetch(part: int, parts: int, rows: int, source: Any, counters: Any) -> None:
    """Asks for the part's columns of the next batch, which come from memory (32 to 15 µs for 128 rows of bytes)."""
    data, _, order, _, _ = source
    start, stop = share(data.shape[1], part, parts, GRAIN)
    line, flat = max(1, 64 // data.itemsize), data.reshape(-1)
    following = counters[CURSOR] + rows
    for i in range(following, min(following + rows, order.shape[0])):
        row = order[i] * data.shape[1]
        for at in range(row + start, row + stop, line):
            prefetch(flat, at)


def multiply(part: int, parts: int, n: int, layer: Any, into: int, work: Any, p: Any, tools: Any) -> None:
    """The part's product of its columns of X and its rows of the weights, for each of `into` parts of the outputs."""
    start, stop = share(layer[INPUTS], part, parts, GRAIN)
    scratch, lanes, height, panels = tools
    x, outputs, weight = layer[X] + start, layer[OUTPUTS], layer[WEIGHT] + start * layer[OUTPUTS]
    if panels.shape[0] > 0:
        multiply_on_unit(part, parts, n, layer, into, work, p, tools)
        return
    for target in range(into):
        low, high = share(outputs, target, into, GRAIN)
        vectors = (high - low + lanes - 1) // lanes
        out, copies = sums(layer, n, part, parts, target, into, lanes), RIGHT if n >= MANY else NEITHER
        product(
            n, vectors, stop - start,
            work, x, layer[X_STRIDE], plain(1),
            p, weight + low, outputs,
            work, out, vectors * lanes, plain(0),
            copies, scratch, lanes, height,
        )  # fmt: skip


def multiply_on_unit(part: int, parts: int, n: int, layer: Any, into: int, work: Any, p: Any, tools: Any) -> None:
    """`multiply` on a matrix unit."""
    start, stop = share(layer[INPUTS], part, parts, GRAIN)
    scratch, lanes, _, panels = tools
    x, outputs, weight = layer[X] + start, layer[OUTPUTS], layer[WEIGHT] + start * layer[OUTPUTS]
    size, right = stop - start, 0
    low, high = share(outputs, 0, into, GRAIN)
    split_columns(0, ALL, min(WIDE, high - low), min(DEPTH, size), p, weight, outputs, panels, right)
    for k in range(0, size, DEPTH):
        deep = min(DEPTH, size - k)
        split_rows(n, deep, work, x + k, layer[X_STRIDE], panels, LEFT_PANELS)
        for target in range(into):
            low, high = share(outputs, target, into, GRAIN)
            out, stride = sums(layer, n, part, parts, target, into, lanes), (high - low + lanes - 1) // lanes * lanes
            here, following, next_k = weight + k * outputs + low, target + 1, k
            if following == into:
                following, next_k = 0, k + DEPTH
            next_low, next_high = share(outputs, following, into, GRAIN)
            next_columns = min(WIDE, next_high - next_low) if next_k < size else 0
            right = matrix_product(
                n, high - low, deep, panels, LEFT_PANELS, right,
                p, here, outputs,
                work, out, stride, plain(k), scratch,
                next_columns, min(DEPTH, size - next_k), weight + next_k * outputs + next_low,
            )  # fmt: skip


def sums(layer: Any, n: int, part: int, parts: int, target: int, into: int, lanes: int) -> int:
    """Where a part's product for the outputs of part `target` begins: what one thread adds up lies together."""
    low, high = share(layer[OUTPUTS], target, into, GRAIN)
    width = (high - low + lanes - 1) // lanes * lanes
    return layer[SUMS] + parts * n * (low + target * lanes) + part * n * width


def join(part: int, parts: int, n: int, below: Any, layer: Any, work: Any, p: Any, tools: Any) -> None:
    """The part's columns of X, from the products of the layer below."""
    scratch, lanes, _, _ = tools
    start, stop = share(layer[INPUTS], part, parts, GRAIN)
    width = (stop - start + lanes - 1) // lanes * lanes
    place = sums(below, n, 0, parts, part, parts, lanes)
    bias = p[below[BIAS] + start : below[BIAS] + stop] if below[BIAS] >= 0 else p[:0]
    for row in range(n):
        at = layer[X] + row * layer[X_STRIDE] + start
        y = work[at : at + stop - start]
        activate(work, place + row * width, n * width, parts, bias, scratch, y, below[ACTIVATION])


def activate(work: Any, at: int, step: int, parts: int, bias: Any, z: Any, y: Any, function: int) -> None:
    """y = activation(sum of the products + bias), for some columns of a row; `bias` may be empty, z is scratch."""
    n = y.shape[0]
    z, one = z[:n], work[at : at + n]
    if parts == 1:
        for j in range(n):
            z[j] = one[j]
    else:
        other = work[at + step : at + step + n]
        for j in range(n):
            z[j] = one[j] + other[j]
    for part in range(2, parts):
        other = work[at + part * step : at + part * step + n]
        for j in range(n):
            z[j] += other[j]
    if bias.shape[0] > 0:
        for j in range(n):
            z[j] += bias[j]
    activation(0, n, z, y, function)


def finish(
    part: int,
    parts: int,
    first: int,
    n: int,
    layer: Any,
    work: Any,
    source: Any,
    counters: Any,
    p: Any,
    ends: Any,
    tools: Any,
) -> None:
    """Outputs and losses of the part's rows of the block, and the last layer's D and DT.

    Some rows of outputs and targets are used over and over: they stay in a first-level cache.
    """
    scratch, lanes, _, _ = tools
    outputs, doutputs, target, scores = ends
    start, stop = share(n, part, parts, GRAIN)
    k = layer[OUTPUTS]
    width, place = (k + lanes - 1) // lanes * lanes, sums(layer, n, 0, parts, 0, 1, lanes)
    bias = p[layer[BIAS] : layer[BIAS] + k] if layer[BIAS] >= 0 else p[:0]
    some = max(1, NEAR // k)
    for row0 in range(start, stop, some):
        size, later = min(some, stop - row0), first + row0 - start
        for row in range(size):
            at = place + (row0 + row) * width
            activate(work, at, n * width, parts, bias, scratch, outputs[start + row], layer[ACTIVATION])
        gather(start, start + size, source[1], source[2][later:], counters, target)
        lose(start, start + size, outputs, target, scores[later:], doutputs)
        for row in range(size):
            y, at = start + row, layer[D] + (row0 + row) * layer[D_STRIDE]
            slope(0, k, doutputs[y], outputs[y], work[at : at + k], layer[ACTIVATION])
    transpose(work, layer[D], layer[D_STRIDE], layer[DT], layer[DT_STRIDE], start, stop, k, lanes)


def transpose(
    work: Any, d: int, d_stride: int, dt: int, dt_stride: int, start: int, stop: int, width: int, lanes: int
) -> None:
    """DT's columns `start` to `stop` from D's rows, of `width` elements."""
    for row in range(start, stop, lanes):
        for i in range(0, width, lanes):
            at, turned = d + row * d_stride + i, dt + i * dt_stride + row
            if row + lanes <= stop and i + lanes <= width:
                turn(work, at, d_stride, work, turned, dt_stride)
            else:
                for r in range(min(lanes, stop - row)):
                    for j in range(min(lanes, width - i)):
                        work[turned + j * dt_stride + r] = work[at + r * d_stride + j]


def backward(
    part: int, parts: int, n: int, further: bool, below: Any, layer: Any, work: Any, p: Any, tools: Any
) -> None:
    """The part's columns of D of the layer below, and its rows of DT where they are read later.

    They are where `further` layers are below that, and by a matrix unit.
    """
    scratch, lanes, height, panels = tools
    start, stop = share(layer[INPUTS], part, parts, GRAIN)
    width, outputs, stride = stop - start, layer[OUTPUTS], below[DT_STRIDE]
    turned, unit = below[DT] + start * stride, panels.shape[0] > 0
    weight, dt = layer[WEIGHT] + start * outputs, layer[DT]
    if unit:
        d, right = layer[DT_STRIDE], 0
        split_columns(0, ALL, min(WIDE, n), min(DEPTH, outputs), work, dt, d, panels, right)
        for row in range(0, width, SPLIT):
            size = min(SPLIT, width - row)
            for k in range(0, outputs, DEPTH):
                deep, next_k = min(DEPTH, outputs - k), k + DEPTH if k + DEPTH < outputs else 0
                split_rows(size, deep, p, weight + row * outputs + k, outputs, panels, LEFT_PANELS)
                right = matrix_product(
                    size, n, deep, panels, LEFT_PANELS, right,
                    work, dt + k * d, d,
                    work, turned + row * stride, stride, plain(k), scratch,
                    min(WIDE, n), min(DEPTH, outputs - next_k), dt + next_k * d,
                )  # fmt: skip
    else:
        product(
            width, (n + lanes - 1) // lanes, outputs,
            p, weight, outputs, plain(1),
            work, dt, layer[DT_STRIDE],
            work, turned, stride, plain(0),
            plain(NEITHER), scratch, lanes, height,
        )  # fmt: skip
    strip, wide = scratch[SCRATCH:], (width + lanes - 1) // lanes * lanes
    for row in range(0, n, lanes):
        for i in range(0, width, lanes):
            turn(work, turned + i * stride + row, stride, strip, i, wide)
        for r in range(min(lanes, n - row)):
            at, y = below[D] + (row + r) * below[D_STRIDE] + start, layer[X] + (row + r) * layer[X_STRIDE] + start
            dy = strip[r * wide : r * wide + width]
            slope(0, width, dy, work[y : y + width], work[at : at + width], below[ACTIVATION])
    if further or unit:
        transpose(work, below[D] + start, below[D_STRIDE], turned, stride, 0, n, width, lanes)
