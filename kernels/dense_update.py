"""The gradient of a dense layer, some rows of weights at a time, and their update while it is hot, not in memory."""

from __future__ import annotations

from typing import Any

from ..backends.machine import turn
from ..backends.matrix_unit import DEEP, STEP
from ..backends.team import share
from .adam import loop as update
from .bias_activation import CHUNK
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
) -> None:
    """Gradients of the part's rows of the weights and columns of the bias; with the last block `done`, their update.

    `optimizer` is (counters, slots, bounds, factors, table, clip, attributes), as `update.py` says, where bounds are
    one range without end. Of `several` blocks the gradients are collected in `work`, the first having `more` 0.
    """
    # the columns of `layers`, which `dense_chain` names
    inputs, outputs, bias, bias_range = layer[0], layer[1], layer[3], layer[5]
    d, d_stride, gradient = layer[9], layer[10], layer[14]
    scratch, lanes, _, panels = tools
    hot = scratch[SCRATCH:]
    stride = (outputs + lanes - 1) // lanes * lanes
    if panels.shape[0] > 0:
        fit_turned(part, parts, n, layer, work, p, optimizer, tools, several, more, done)
    else:
        fit_rows(part, parts, n, layer, work, p, optimizer, tools, several, more, done)
    if bias >= 0:
        start, stop = share(outputs, part, parts, 8)
        width = stop - start
        total = work[gradient + (inputs + parts * lanes) * stride + start :][:width] if several else hot[:width]
        sum_columns(n, work, d + start, d_stride, total, hot[width : 2 * width], more)
        if done:
            apply(p, total, bias + start, width, bias_range, optimizer)


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
    inputs, outputs, weight, weight_range = layer[0], layer[1], layer[2], layer[4]
    x, x_stride, d, d_stride, gradient = layer[7], layer[8], layer[9], layer[10], layer[14]
    scratch, lanes, height, _ = tools
    hot = scratch[SCRATCH:]
    start, stop = share(inputs, part, parts, 8)
    vectors = (outputs + lanes - 1) // lanes
    stride = vectors * lanes
    grain = min(ROWS, max(8, HOT // stride // 8 * 8))
    copies = LEFT if n >= 64 and vectors > 1 else NEITHER
    for i in range(start, stop, grain):
        size = min(grain, stop - i)
        g, place = (work, gradient + i * stride) if several else (hot, 0)
        product(
            size, vectors, n,
            work, x + i, plain(1), x_stride,
            work, d, d_stride,
            g, place, stride, more,
            copies, scratch, lanes, height,
        )  # fmt: skip
        if done:
            compact = g[place:]
            if stride != outputs:
                compact = hot[grain * stride :]
                for r in range(size):
                    row = g[place + r * stride : place + r * stride + outputs]
                    target = compact[r * outputs : (r + 1) * outputs]
                    for j in range(outputs):
                        target[j] = row[j]
            apply(p, compact, weight + i * outputs, size * outputs, weight_range, optimizer)


def fit_turned(
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
    """`fit` for the weights, on a matrix unit: DT·X, since the unit wants DT's rows and X's as they lie.

    That is the gradient transposed, in blocks of some inputs; collected over blocks of rows it stays so.
    """
    inputs, outputs, weight, weight_range = layer[0], layer[1], layer[2], layer[4]
    x, x_stride, dt, dt_stride, gradient = layer[7], layer[8], layer[11], layer[12], layer[14]
    scratch, lanes, _, panels = tools
    hot = scratch[SCRATCH:]
    start, stop = share(inputs, part, parts, 8)
    stride = (outputs + lanes - 1) // lanes * lanes
    tall = (outputs + WIDE - 1) // WIDE * 2 * STEP // DEEP  # words of DT, split, for each row of X
    grain = min(ROWS, max(WIDE, HOT // stride // WIDE * WIDE))
    for k in range(0, n, DEPTH):
        split_rows(outputs, min(DEPTH, n - k), work, dt + k, dt_stride, panels, LEFT_PANELS + k * tall)
    right = 0
    split_columns(0, ALL, min(WIDE, stop - start), min(DEPTH, n), work, x + start, x_stride, panels, right)
    for i in range(start, stop, grain):
        size = min(grain, stop - i)
        width = (size + lanes - 1) // lanes * lanes
        g, place = (work, gradient + (i + part * lanes) * stride) if several else (hot, 0)
        for k in range(0, n, DEPTH):
            next_i, next_k = (i, k + DEPTH) if k + DEPTH < n else (i + grain, 0)
            right = matrix_product(
                outputs, size, min(DEPTH, n - k), panels, LEFT_PANELS + k * tall, right,
                work, x + k * x_stride + i, x_stride,
                g, place, width, more + k, scratch,
                min(WIDE, stop - next_i), min(DEPTH, n - next_k), x + next_k * x_stride + next_i,
            )  # fmt: skip
        if done:
            turned = hot[grain * stride :]
            for o in range(stride - lanes, -1, -lanes):  # backwards: the last has columns that the next row takes
                for r in range(0, width, lanes):
                    turn(g, place + o * width + r, width, turned, r * outputs + o, outputs)
            apply(p, turned, weight + i * outputs, size * outputs, weight_range, optimizer)


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
