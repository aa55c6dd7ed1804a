"""The gradient of a dense layer, some rows of weights at a time, and their update while it is hot, not in memory."""

from __future__ import annotations

from typing import Any

from ..backends.machine import turn
from ..backends.matrix_unit import ALL_PAIRS, DEEP, STEP, WHOLE_RIGHT
from .adam import loop as update
from .bias_activation import CHUNK
from .dense_parts import (
    BIAS,
    BIAS_RANGE,
    BY_OUTPUTS,
    D_STRIDE,
    DT,
    DT_STRIDE,
    GRADIENT,
    INPUTS,
    LINE,
    OUTPUTS,
    TOTALS,
    WEIGHT_RANGE,
    X_STRIDE,
    D,
    X,
    columns,
    span,
    weights,
    whole_numbers,
)
from .matrix_product import ALL, DEPTH, LEFT_PANELS, WIDE, matrix_product, split_columns, split_rows
from .product import LEFT, NEITHER, SCRATCH, plain, product

HOT = 32768  # elements of the gradient that are computed before they are used
ROWS = 96  # at most, of the weights at once
EVERYTHING = 1 << 62


def fit(
    part: int,
    parts: int,
    n: int,
    layer: Any,
    work: Any,
    p: Any,
    optimizer: Any,
    tools: Any,
    several: int,
    more: int,
    done: int,
    exact: Any,
) -> None:
    """Gradients of the part's weights and its columns of the bias; with the last block `done`, their update.

    `optimizer` is (counters, slots, bounds, factors, table, clip, attributes), as `update.py` says, where bounds are
    one range without end. Of `several` blocks the gradients are collected in `work`, the first having `more` 0.
    `exact` is that of `steps` for the first layer, and empty for others.
    """
    scratch, _, _, panels = tools
    hot, bias = scratch[SCRATCH:], layer[BIAS]
    if panels.shape[0] > 0:
        _, _, _, scale, _ = exact
        if scale.shape[0] > 0:
            fit_whole(part, parts, n, layer, work, p, optimizer, tools, several, more, done, exact)
        else:
            x, stride = layer[X] + span(layer, part, parts)[0], layer[X_STRIDE]
            fit_turned(part, parts, n, layer, work, x, stride, work, p, optimizer, tools, several, more, done, exact)
    else:
        fit_rows(part, parts, n, layer, work, p, optimizer, tools, several, more, done)
    if bias >= 0:
        start, stop = columns(layer, part, parts)
        width = stop - start
        total = work[layer[GRADIENT] + start :][:width] if several else hot[:width]
        sum_columns(n, work, layer[D] + start, layer[D_STRIDE], total, hot[width : 2 * width], more)
        if done:
            apply(p, total, bias + start, width, layer[BIAS_RANGE], optimizer)


def fit_rows(
    part: int,
    parts: int,
    n: int,
    layer: Any,
    work: Any,
    p: Any,
    optimizer: Any,
    tools: Any,
    several: int,
    more: int,
    done: int,
) -> None:
    """`fit` for the weights, on vector units."""
    scratch, lanes, height, _ = tools
    hot = scratch[SCRATCH:]
    start, stop, low, high = span(layer, part, parts)
    width, weight, gradient = high - low, weights(layer, 0, low), collected(layer, part, parts, lanes)
    vectors = (width + lanes - 1) // lanes
    stride = vectors * lanes
    grain = min(ROWS, max(8, HOT // stride // 8 * 8))
    copies = LEFT if n >= 64 and vectors > 1 else NEITHER
    for i in range(start, stop, grain):
        size = min(grain, stop - i)
        g, place = (work, gradient + i * stride) if several else (hot, 0)
        product(
            size, vectors, n,
            work, layer[X] + i, plain(1), layer[X_STRIDE],
            work, layer[D] + low, layer[D_STRIDE],
            g, place, stride, more,
            copies, scratch, lanes, height,
        )  # fmt: skip
        if done:
            compact = g[place:]
            if stride != width:
                compact = hot[grain * stride :]
                for r in range(size):
                    row = g[place + r * stride : place + r * stride + width]
                    target = compact[r * width : (r + 1) * width]
                    for j in range(width):
                        target[j] = row[j]
            apply(p, compact, weight + i * width, size * width, layer[WEIGHT_RANGE], optimizer)


def fit_turned(
    part: int,
    parts: int,
    n: int,
    layer: Any,
    xs: Any,
    x: int,
    x_stride: int,
    work: Any,
    p: Any,
    optimizer: Any,
    tools: Any,
    several: int,
    more: int,
    done: int,
    exact: Any,
) -> None:
    """`fit` for the weights, on a matrix unit: DT·X, since the unit wants DT's rows and X's as they lie.

    The part's columns of X lie in `xs` from x on. That is the gradient transposed, in blocks of some inputs; collected
    over blocks of rows it stays so. Of whole numbers it is that by them: that by X · scale - shift follows by the sums
    of D.
    """
    scratch, lanes, _, panels = tools
    _, _, _, scale, shift = exact
    whole, none, hot = scale.shape[0] > 0, scale[:0], scratch[SCRATCH:]
    pairs = plain(WHOLE_RIGHT) if whole else plain(ALL_PAIRS)
    start, stop, low, high = span(layer, part, parts)
    outputs, weight, gradient = high - low, weights(layer, 0, low), collected(layer, part, parts, lanes)
    dt, dt_stride = layer[DT] + low * layer[DT_STRIDE], layer[DT_STRIDE]
    stride = (outputs + lanes - 1) // lanes * lanes
    tall = (outputs + WIDE - 1) // WIDE * 2 * STEP // DEEP  # words of DT, split, for each row of X
    grain = min(ROWS, max(WIDE, HOT // stride // WIDE * WIDE))
    for k in range(0, n, DEPTH):
        split_rows(outputs, min(DEPTH, n - k), work, dt + k, dt_stride, panels, LEFT_PANELS + k * tall)
    right = 0
    wide = min(WIDE, stop - start)
    split_columns(0, ALL, wide, min(DEPTH, n), xs, x, x_stride, panels, right, none, 0)
    total = work[layer[TOTALS] + part * (outputs + LINE) :][:outputs]
    if whole:
        sum_columns(n, work, layer[D], layer[D_STRIDE], total, hot[:outputs], more)
    for i in range(start, stop, grain):
        size = min(grain, stop - i)
        width = (size + lanes - 1) // lanes * lanes
        g, place = (work, gradient + i * stride) if several else (hot, 0)
        for k in range(0, n, DEPTH):
            next_i, next_k = (i, k + DEPTH) if k + DEPTH < n else (i + grain, 0)
            right = matrix_product(
                outputs, size, min(DEPTH, n - k), panels, LEFT_PANELS + k * tall, right,
                xs, x + k * x_stride + i - start, x_stride,
                g, place, width, more + k, scratch,
                min(WIDE, stop - next_i), min(DEPTH, n - next_k), x + next_k * x_stride + next_i - start,
                pairs, none, 0, 0,
            )  # fmt: skip
        if done:
            turned = hot[grain * stride :]
            for o in range(stride - lanes, -1, -lanes):  # backwards: the last has columns that the next row takes
                for r in range(0, width, lanes):
                    turn(g, place + o * width + r, width, turned, r * outputs + o, outputs)
            if whole:
                for r in range(size):
                    row, factor, by = turned[r * outputs : (r + 1) * outputs], scale[i + r], shift[i + r]
                    for o in range(outputs):
                        row[o] = row[o] * factor - by * total[o]
            apply(p, turned, weight + i * outputs, size * outputs, layer[WEIGHT_RANGE], optimizer)


def fit_whole(
    part: int,
    parts: int,
    n: int,
    layer: Any,
    work: Any,
    p: Any,
    optimizer: Any,
    tools: Any,
    several: int,
    more: int,
    done: int,
    exact: Any,
) -> None:
    """`fit_turned` where the part's columns of X are whole numbers."""
    numbers, stride, _, _, _ = exact
    x = whole_numbers(numbers, part, parts)
    fit_turned(part, parts, n, layer, numbers, x, stride, work, p, optimizer, tools, several, more, done, exact)


def sum_columns(n: int, work: Any, d: int, stride: int, total: Any, chunk: Any, more: int) -> None:
    """total (width,) = the sum over n rows of D, in chunks as `bias_activation` has them, or more of it."""
    width = total.shape[0]
    if more == 0:
        for j in range(width):
            total[j] = 0
    for first in range(0, n, CHUNK):
        for j in range(width):
            chunk[j] = 0
        for row in range(first, min(first + CHUNK, n)):
            source = work[d + row * stride : d + row * stride + width]
            for j in range(width):
                chunk[j] += source[j]
        for j in range(width):
            total[j] += chunk[j]


def collected(layer: Any, part: int, parts: int, lanes: int) -> int:
    """Where the gradient of the layer's first row of weights is collected over blocks, behind that of the bias.

    Behind the last row of a part are as many as a vector has elements: they are written where blocks are turned.
    """
    whole = (layer[OUTPUTS] + lanes - 1) // lanes * lanes
    if layer[BY_OUTPUTS]:
        return layer[GRADIENT] + whole + part * (layer[INPUTS] + lanes) * (whole // parts + LINE + lanes)
    return layer[GRADIENT] + whole + part * lanes * whole


def apply(p: Any, g: Any, start: int, size: int, group: int, optimizer: Any) -> None:
    """Updates `size` parameters from `start` on with the gradient g."""
    counters, slots, bounds, factors, table, clip, attributes = optimizer
    stop = start + size
    shared = (bounds, factors[group : group + 1], table, counters, clip)
    update(*((0, size, p[start:stop], g) + cut(slots, start, stop) + shared + attributes))  # noqa: RUF005


def cut(slots: Any, start: int, stop: int) -> Any:
    """The same part of each of the optimizer's states: here of two."""
    return slots[0][start:stop], slots[1][start:stop]


def cut_one(slots: Any, start: int, stop: int) -> Any:
    """`cut` for one state."""
    return (slots[0][start:stop],)


def cut_three(slots: Any, start: int, stop: int) -> Any:
    """`cut` for three states."""
    return slots[0][start:stop], slots[1][start:stop], slots[2][start:stop]


CUTS = {1: cut_one, 2: cut, 3: cut_three}
