"""Whole steps of a chain of dense layers as one compiled loop, run by every thread of a team.

The list of operations that it stands for is its definition. Each layer's inputs are divided into parts, and a part
belongs to one thread, with the rows of the weights, the optimizer's states and the activations that go with them:
they stay in that core's cache. Forward, a part multiplies what it has, and the parts' products are added up.
Backward, it finds its rows of the weights' gradient and updates them (`dense_update`). The bits depend on the number
of parts, not on that of the threads.

A last layer that is much wider than what it reads is divided by its outputs instead: then its products need no adding
up, and what the parts add up is the gradient of the few values that it reads (steps of an autoencoder: 0.91 times).

A batch is taken in blocks of rows that fit into cache. `work` is one flat buffer; `layers`, one row a layer, says
where what begins in it.
"""

from __future__ import annotations

from typing import Any

from ..backends.machine import float_mode, prefetch, turn
from ..backends.matrix_unit import ALL_PAIRS, WHOLE_LEFT, begin, end
from ..backends.team import share, wait
from .activation import backward_loop as slope
from .advance import loop as advance
from .counters import CURSOR
from .dense_outputs import activate, finish, mean_scores, transpose
from .dense_parts import (
    ACTIVATION,
    BIAS,
    BY_OUTPUTS,
    D_STRIDE,
    DT,
    DT_STRIDE,
    GRAIN,
    INPUTS,
    SUMS,
    X_STRIDE,
    D,
    X,
    columns,
    divide,
    span,
    sums,
    weights,
    whole_numbers,
)
from .dense_update import fit
from .matrix_product import ALL, DEPTH, FEW, LEFT_PANELS, WIDE, matrix_product, split_columns, split_rows
from .product import NEITHER, RIGHT, SCRATCH, clear, plain, product
from .tally import loop as tally

MANY = 128  # rows from which a copy of the weights' block pays
SPLIT = 256  # rows of the weights that are split at a time
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
    exact: Any,
) -> None:
    """`count` steps of `rows` rows, with `learn` 0 their losses alone.

    `source` is (data, targets, order, mean, scale), `optimizer` what `fit` takes, with the thread's own counters,
    `ends` the batch's (outputs, doutputs, target, scores, scores by part), and `tools` (scratch, lanes, tile height,
    panels), where `panels` are empty without a matrix unit. Scores by part, and scores of the thread's own, are for
    a last layer that is divided by its outputs. Where the data are bytes and there is a matrix unit, which takes whole
    numbers of 8 bits as one term, `exact` is (numbers, stride, centre, scale, shift): the parts' columns of the batch
    less `centre` lie in `numbers`, their rows `stride` apart, and what the first layer shall read is that by `scale`
    less `shift`. It is empty otherwise.
    """
    mode = float_mode(FLUSH)
    begin()
    outputs, doutputs, target, scores, by_part = ends
    ends = outputs[:rows], doutputs[:rows], target[:rows], scores[:rows], by_part
    scratch, lanes, height, panels = tools
    tools = scratch, lanes, height, panels if rows >= FEW else panels[:0]
    numbers, stride, centre, scale, shift = exact
    inexact = numbers[:0], stride, centre[:0], scale[:0], shift[:0]
    counters, slots = optimizer[:2]
    last, several = layers.shape[0] - 1, 1 if rows > block else 0
    wide = layers[last][BY_OUTPUTS]
    if wide:
        divide(thread, threads, parts, layers[last], p, work, flags, 0)
        for state in slots:
            divide(thread, threads, parts, layers[last], state, work, flags, 0)
    for _ in range(count):
        for first in range(0, rows, block):
            n = min(block, rows - first)
            done = 1 if first + n == rows else 0
            for level in range(last + 1):
                for part in range(thread, parts, threads):
                    if level == 0 and scale.shape[0] > 0:
                        read_whole(part, parts, first, n, layers[0], source, counters, exact)
                    elif level == 0:
                        read(part, parts, first, n, layers[0], work, source, counters)
                    else:
                        join(part, parts, n, layers[level - 1], layers[level], work, p, tools)
                    if level < last or not wide:
                        into, here = parts if level < last else 1, exact if level == 0 else inexact
                        multiply(part, parts, n, layers[level], into, work, p, tools, here)
                wait(thread, threads, flags)
            for part in range(thread, parts, threads):
                if wide:
                    multiply(part, parts, n, layers[last], parts, work, p, tools, inexact)
                finish(part, parts, first, n, layers[last], work, source, counters, p, ends, tools)
            wait(thread, threads, flags)
            if done:
                if wide:
                    mean_scores(rows, parts, layers[last], ends)
                tally(0, 1, ends[3], counters, totals)
            if learn:
                for level in range(last, -1, -1):
                    for part in range(thread, parts, threads):
                        if level > 0:
                            backward(part, parts, n, layers[level - 1], layers[level], work, p, tools)
                            if not layers[level][BY_OUTPUTS]:
                                descend(part, parts, n, level > 1, layers[level - 1], layers[level], work, tools)
                        elif done:
                            fetch(part, parts, rows, source, counters)
                        here = exact if level == 0 else inexact
                        fit(part, parts, n, layers[level], work, p, optimizer, tools, several, first, done, here)
                    if level > 0:
                        wait(thread, threads, flags)
                    if layers[level][BY_OUTPUTS]:
                        for part in range(thread, parts, threads):
                            descend(part, parts, n, level > 1, layers[level - 1], layers[level], work, tools)
                        wait(thread, threads, flags)
        advance(0, 1, counters, ends[3])
    if wide:
        divide(thread, threads, parts, layers[last], p, work, flags, 1)
        for state in slots:
            divide(thread, threads, parts, layers[last], state, work, flags, 1)
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


def read_whole(part: int, parts: int, first: int, n: int, layer: Any, source: Any, counters: Any, exact: Any) -> None:
    """The part's columns of the batch, less what is about their mean."""
    start, stop = share(layer[INPUTS], part, parts, GRAIN)
    data, _, order, _, _ = source
    numbers, stride, centre, _, _ = exact
    place, cursor, centre = whole_numbers(numbers, part, parts), counters[CURSOR] + first, centre[start:stop]
    for row in range(n):
        x = data[order[cursor + row]][start:stop]
        y = numbers[place + row * stride : place + row * stride + stop - start]
        for j in range(stop - start):
            y[j] = x[j] - centre[j]


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


def multiply(part: int, parts: int, n: int, layer: Any, into: int, work: Any, p: Any, tools: Any, exact: Any) -> None:
    """The part's product of its columns of X and its rows of the weights, for each of `into` parts of the outputs.

    Of a layer that is divided by outputs the part has all rows, and its own outputs alone.
    """
    start, stop, low, high = span(layer, part, parts)
    x, length, weight = layer[X] + start, high - low, weights(layer, start, low) - low
    first, behind, own = (part, part + 1, 0) if layer[BY_OUTPUTS] else (0, into, part)
    scratch, lanes, height, panels = tools
    if panels.shape[0] > 0:
        multiply_on_unit(part, parts, n, layer, into, work, p, tools, exact)
        return
    for target in range(first, behind):
        low, high = columns(layer, target, into)
        vectors = (high - low + lanes - 1) // lanes
        out, copies = sums(layer, n, own, parts, target, into, lanes), RIGHT if n >= MANY else NEITHER
        product(
            n, vectors, stop - start,
            work, x, layer[X_STRIDE], plain(1),
            p, weight + low, length,
            work, out, vectors * lanes, plain(0),
            copies, scratch, lanes, height,
        )  # fmt: skip


def multiply_on_unit(
    part: int, parts: int, n: int, layer: Any, into: int, work: Any, p: Any, tools: Any, exact: Any
) -> None:
    """`multiply` on a matrix unit.

    (X · scale - shift) · W is X · (scale · W) - shift · W: so whole numbers stay what they are.
    """
    start, stop, low, high = span(layer, part, parts)
    length, weight, size = high - low, weights(layer, start, low) - low, stop - start
    first, behind, own = (part, part + 1, 0) if layer[BY_OUTPUTS] else (0, into, part)
    scratch, lanes, height, panels = tools
    numbers, stride, _, scale, shift = exact
    whole = scale.shape[0] > 0
    x, pairs = layer[X] + start, plain(ALL_PAIRS)
    if whole:
        x, pairs = whole_numbers(numbers, part, parts), plain(WHOLE_LEFT)
        product(
            1, (length + lanes - 1) // lanes, size,
            shift, start, plain(1), plain(1),
            p, weight, length,
            scratch, plain(SCRATCH), plain(0), plain(0),
            NEITHER, scratch, lanes, height,
        )  # fmt: skip
    for target in range(first, behind if size == 0 or whole else first):
        low, high = columns(layer, target, into)
        width = (high - low + lanes - 1) // lanes * lanes
        out = sums(layer, n, own, parts, target, into, lanes)
        clear(n, width, work, out, width, plain(0))
        for row in range(n if whole else 0):
            y = work[out + row * width : out + row * width + high - low]
            for j in range(high - low):
                y[j] = -scratch[SCRATCH + low + j]
    low, high = columns(layer, first, into)
    wide, right = min(WIDE, high - low), 0
    split_columns(0, ALL, wide, min(DEPTH, size), p, weight + low, length, panels, right, scale, start)
    for k in range(0, size, DEPTH):
        deep = min(DEPTH, size - k)
        if whole:
            split_rows(n, deep, numbers, x + k, stride, panels, LEFT_PANELS)
        else:
            split_rows(n, deep, work, x + k, layer[X_STRIDE], panels, LEFT_PANELS)
        for target in range(first, behind):
            low, high = columns(layer, target, into)
            out, step = sums(layer, n, own, parts, target, into, lanes), (high - low + lanes - 1) // lanes * lanes
            here, following, next_k = weight + k * length + low, target + 1, k
            if following == behind:
                following, next_k = first, k + DEPTH
            next_low, next_high = columns(layer, following, into)
            next_columns = min(WIDE, next_high - next_low) if next_k < size else 0
            right = matrix_product(
                n, high - low, deep, panels, LEFT_PANELS, right,
                p, here, length,
                work, out, step, k + int(whole), scratch,
                next_columns, min(DEPTH, size - next_k), weight + next_k * length + next_low,
                pairs, scale, start + k, start + next_k,
            )  # fmt: skip


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


def backward(part: int, parts: int, n: int, below: Any, layer: Any, work: Any, p: Any, tools: Any) -> None:
    """The part's rows of the gradient of X, transposed: in the place of DT of the layer below.

    Of a layer that is divided by outputs, what the part adds to all rows, in the place of its sums.
    """
    scratch, lanes, height, panels = tools
    start, stop, low, high = span(layer, part, parts)
    size, depth, stride = stop - start, high - low, below[DT_STRIDE]
    to = layer[SUMS] + part * size * stride if layer[BY_OUTPUTS] else below[DT] + start * stride
    d, weight, dt = layer[DT_STRIDE], weights(layer, start, low), layer[DT] + low * layer[DT_STRIDE]
    if panels.shape[0] > 0:
        right = 0
        none = work[:0]
        split_columns(0, ALL, min(WIDE, n), min(DEPTH, depth), work, dt, d, panels, right, none, 0)
        for row in range(0, size, SPLIT):
            some = min(SPLIT, size - row)
            for k in range(0, depth, DEPTH):
                deep, next_k = min(DEPTH, depth - k), k + DEPTH if k + DEPTH < depth else 0
                split_rows(some, deep, p, weight + row * depth + k, depth, panels, LEFT_PANELS)
                right = matrix_product(
                    some, n, deep, panels, LEFT_PANELS, right,
                    work, dt + k * d, d,
                    work, to + row * stride, stride, plain(k), scratch,
                    min(WIDE, n), min(DEPTH, depth - next_k), dt + next_k * d,
                    plain(ALL_PAIRS), none, 0, 0,
                )  # fmt: skip
    else:
        product(
            size, (n + lanes - 1) // lanes, depth,
            p, weight, depth, plain(1),
            work, dt, d,
            work, to, stride, plain(0),
            plain(NEITHER), scratch, lanes, height,
        )  # fmt: skip


def descend(part: int, parts: int, n: int, further: bool, below: Any, layer: Any, work: Any, tools: Any) -> None:
    """The part's columns of D of the layer below from the gradient of X, and its rows of DT where they are read later.

    They are where `further` layers are below that, and by a matrix unit.
    """
    scratch, lanes, _, panels = tools
    start, stop = share(layer[INPUTS], part, parts, GRAIN)
    width, stride = stop - start, below[DT_STRIDE]
    turned = below[DT] + start * stride
    if layer[BY_OUTPUTS]:
        add_up(parts, n, layer[SUMS] + start * stride, layer[INPUTS] * stride, width, stride, work, turned)
    strip, wide = scratch[SCRATCH:], (width + lanes - 1) // lanes * lanes
    for row in range(0, n, lanes):
        for i in range(0, width, lanes):
            turn(work, turned + i * stride + row, stride, strip, i, wide)
        for r in range(min(lanes, n - row)):
            at, y = below[D] + (row + r) * below[D_STRIDE] + start, layer[X] + (row + r) * layer[X_STRIDE] + start
            dy = strip[r * wide : r * wide + width]
            slope(0, width, dy, work[y : y + width], work[at : at + width], below[ACTIVATION])
    if further or panels.shape[0] > 0:
        transpose(work, below[D] + start, below[D_STRIDE], turned, stride, 0, n, width, lanes)


def add_up(parts: int, n: int, first: int, step: int, rows: int, stride: int, work: Any, to: int) -> None:
    """The sum of what the parts have in some rows of n elements; those of a part begin `step` after the last part's."""
    for row in range(rows):
        at = row * stride
        y, one = work[to + at : to + at + n], work[first + at : first + at + n]
        for j in range(n):
            y[j] = one[j]
        for part in range(1, parts):
            other = work[first + part * step + at : first + part * step + at + n]
            for j in range(n):
                y[j] += other[j]
