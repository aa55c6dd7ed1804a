"""The end of a chain of dense layers: outputs, losses, and the gradient before the last activation."""

from __future__ import annotations

from typing import Any

from ..backends.machine import turn
from ..backends.team import share
from .activation import backward_loop as slope
from .activation import forward_loop as activation
from .counters import CURSOR
from .dense_parts import ACTIVATION, BIAS, D_STRIDE, DT, DT_STRIDE, GRAIN, OUTPUTS, D, columns, span, sums
from .gather import loop as gather
from .product import SCRATCH
from .softmax_cross_entropy import loop as lose

NEAR = 4096  # outputs that are finished before the next, in a first-level cache


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
    outputs, doutputs, target, scores, _ = ends
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


def finish_by_outputs(
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
    """`finish` for a layer that is divided by outputs, and a loss that is a mean over them.

    The part has its own columns of all rows of the block; the loss takes them for all that there are.
    """
    scratch, lanes, _, _ = tools
    scores = ends[4][part]
    _, _, low, high = span(layer, part, parts)
    width, stride = high - low, (high - low + lanes - 1) // lanes * lanes
    place, at_d = sums(layer, n, 0, parts, part, parts, lanes), layer[D] + low
    bias = p[layer[BIAS] + low : layer[BIAS] + high] if layer[BIAS] >= 0 else p[:0]
    some, targets, order, cursor = max(1, NEAR // 2 // width), source[1], source[2], counters[CURSOR] + first
    size = some * width
    y, t, d = scratch[SCRATCH:][:size], scratch[SCRATCH + size :][:size], scratch[SCRATCH + 2 * size :][:size]
    y, t, d = y.reshape(some, width), t.reshape(some, width), d.reshape(some, width)
    real = work.dtype.type
    factor = real(size) / real(ends[3].shape[0] * layer[OUTPUTS])  # of the mean over these, by that over all
    for row0 in range(0, n, some):
        several = min(some, n - row0)
        for row in range(several):
            activate(work, place + (row0 + row) * stride, 0, 1, bias, scratch, y[row], layer[ACTIVATION])
            target, to = targets[order[cursor + row0 + row]][low:high], t[row]
            for j in range(width):
                to[j] = target[j]
        lose(0, several, y, t, scores[first + row0 :], d)
        for row in range(several):
            dy, at = d[row], at_d + (row0 + row) * layer[D_STRIDE]
            for j in range(width):
                dy[j] *= factor
            slope(0, width, dy, y[row], work[at : at + width], layer[ACTIVATION])
    transpose(work, at_d, layer[D_STRIDE], layer[DT] + low * layer[DT_STRIDE], layer[DT_STRIDE], 0, n, width, lanes)


def mean_scores(rows: int, parts: int, layer: Any, ends: Any) -> None:
    """A batch's scores from those that the parts found for their outputs."""
    scores, by_part = ends[3], ends[4]
    real = scores.dtype.type
    for row in range(rows):
        for column in range(scores.shape[1]):
            total = real(0)
            for part in range(parts):
                low, high = columns(layer, part, parts)
                total += by_part[part, row, column] * real(high - low)
            scores[row, column] = total / real(layer[OUTPUTS])


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
