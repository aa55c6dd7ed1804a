"""Layer normalisation (Ba, Kiros and Hinton 2016): rows are scaled to mean 0 and variance 1, then scaled and shifted.

With μ the mean of a row, r = 1 / √(σ² + ε) of its variance σ² = mean of (x − μ)², and h = (x − μ) · r:
y = h · scale + shift. Backward, with g = dy · scale: dx = r · (g − mean of g − h · mean of (g · h)),
dscale = Σ over rows of dy · h, dshift = Σ over rows of dy.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from ...backends.machine import take
from ...backends.reductions import plus
from ..launch import column_tiles, each_row, over_columns, parts
from ..operation import Cuda, Launch, Operation, columns, rows

CHUNK = 128  # rows that are summed separately before they are added to the total, for accurate float32 sums


def forward_reference(xp: Any, x: Any, scale: Any, shift: Any, y: Any, statistics: Any, *, eps: float) -> None:
    """y (rows, n) from x (rows, n), scale and shift (n,); statistics (rows, 2) = μ and r."""
    if x.shape[0] == 0:
        return
    mean = xp.mean(x, axis=1)
    centred = x - mean[:, None]
    r = 1 / xp.sqrt(xp.mean(centred * centred, axis=1) + eps)
    statistics[:, 0] = mean
    statistics[:, 1] = r
    y[...] = centred * r[:, None] * scale + shift


def forward_loop(start: int, stop: int, x: Any, scale: Any, shift: Any, y: Any, statistics: Any, eps: float) -> None:
    """`forward_reference` over rows `start` to `stop`."""
    real = y.dtype.type
    n = x.shape[1]
    zero, one, share, small = real(0), real(1), real(1) / real(n), real(eps)
    for row in range(start, stop):
        xs, ys = x[row], y[row]
        total = zero
        for j in range(n):
            total = plus(total, xs[j])
        mean = total * share
        total = zero
        for j in range(n):
            total = plus(total, (xs[j] - mean) * (xs[j] - mean))
        r = real(one / math.sqrt(total * share + small))
        statistics[row, 0] = mean
        statistics[row, 1] = r
        take(xs, ys)
        for j in range(n):
            ys[j] = (ys[j] - mean) * r * scale[j] + shift[j]


def backward_reference(xp: Any, dy: Any, x: Any, scale: Any, statistics: Any, dx: Any) -> None:
    """dx (rows, n) from dy and x (rows, n), scale (n,) and the forward's statistics (rows, 2)."""
    if x.shape[0] == 0:
        return
    r = statistics[:, 1][:, None]
    h = (x - statistics[:, 0][:, None]) * r
    g = dy * scale
    dx[...] = r * (g - xp.mean(g, axis=1)[:, None] - h * xp.mean(g * h, axis=1)[:, None])


def backward_loop(start: int, stop: int, dy: Any, x: Any, scale: Any, statistics: Any, dx: Any) -> None:
    """`backward_reference` over rows `start` to `stop`."""
    real = dx.dtype.type
    n = x.shape[1]
    share = real(1) / real(n)
    for row in range(start, stop):
        given, xs, out = dy[row], x[row], dx[row]
        mean, r = statistics[row, 0], statistics[row, 1]
        plain, product = real(0), real(0)
        for j in range(n):
            plain = plus(plain, given[j] * scale[j])
            product = plus(product, given[j] * scale[j] * (xs[j] - mean))
        plain *= share
        product *= share * r
        take(given, out)
        for j in range(n):
            out[j] = r * (out[j] * scale[j] - plain - (xs[j] - mean) * r * product)


def sums_reference(
    xp: Any, dy: Any, x: Any, statistics: Any, dscale: Any, dshift: Any, partial: Any, arrived: Any
) -> None:
    """dscale and dshift (n,) from dy and x (rows, n) and the forward's statistics (rows, 2).

    `partial` (2, parts(n), n) is scratch; `arrived` (column_tiles(n),) uint32 is 0 before and after.
    """
    dscale[...] = xp.sum(dy * (x - statistics[:, 0][:, None]) * statistics[:, 1][:, None], axis=0)
    dshift[...] = xp.sum(dy, axis=0)


def sums_loop(
    start: int, stop: int, dy: Any, x: Any, statistics: Any, dscale: Any, dshift: Any, partial: Any, arrived: Any
) -> None:
    """`sums_reference` over columns `start` to `stop`, rows in chunks of `CHUNK` in order."""
    zero, n = dy.dtype.type(0), stop - start
    scales, shifts = dscale[start:stop], dshift[start:stop]
    products, plain = partial[0, 0, start:stop], partial[1, 0, start:stop]
    for j in range(n):
        scales[j] = zero
        shifts[j] = zero
    for first in range(0, dy.shape[0], CHUNK):
        for j in range(n):
            products[j] = zero
            plain[j] = zero
        for row in range(first, min(first + CHUNK, dy.shape[0])):
            mean, r = statistics[row, 0], statistics[row, 1]
            given, xs = dy[row, start:stop], x[row, start:stop]
            for j in range(n):
                products[j] += given[j] * ((xs[j] - mean) * r)
            for j in range(n):
                plain[j] += given[j]
        for j in range(n):
            scales[j] += products[j]
            shifts[j] += plain[j]


def sums_launch(dy: Any, x: Any, statistics: Any, dscale: Any, dshift: Any, partial: Any, arrived: Any) -> Launch:
    """One block per group of columns and part of the rows."""
    count, n = x.shape
    launch = over_columns(count, n)
    part = -(-count // launch.grid[1])
    return replace(
        launch, arguments=(dy, x, statistics, dscale, dshift, partial, arrived, count, n, part, partial.shape[1])
    )


def gradient(graph: Any, node: Any, dy: Any, _: Any) -> tuple[Any, ...]:
    """Appends the backward operations; the sums come first, since dx may take dy's memory."""
    x, scale, shift = node.inputs
    statistics = node.outputs[1]
    dscale, dshift = graph.like(scale), graph.like(shift)
    n = scale.shape[0]
    scratch = graph.fixed((2, parts(n), n), scale.dtype), graph.fixed((column_tiles(n),), "uint32")
    graph.apply(LAYER_NORM_SUMS, (dy, x, statistics), (dscale, dshift, *scratch))
    if not graph.needs_gradient(x):
        return None, dscale, dshift
    dx = graph.like(x)
    graph.apply(LAYER_NORM_BACKWARD, (dy, x, scale, statistics), (dx,))
    return dx, dscale, dshift


LAYER_NORM = Operation(
    "layer_norm",
    forward_reference,
    forward_loop,
    rows,
    cuda=Cuda("layer_norm.cu", "layer_norm", each_row, types={"VALUE": 0, "REAL": 1}),
    gradient=gradient,
    inplace=((0, 0),),
    flops=lambda x, *_, **__: 8 * x.size,
)
LAYER_NORM_BACKWARD = Operation(
    "layer_norm_backward",
    backward_reference,
    backward_loop,
    rows,
    cuda=Cuda("layer_norm.cu", "layer_norm_backward", each_row, types={"VALUE": 0, "REAL": 2}),
    inplace=((0, 0),),
    flops=lambda dy, *_: 12 * dy.size,
)
LAYER_NORM_SUMS = Operation(
    "layer_norm_sums",
    sums_reference,
    sums_loop,
    columns,
    cuda=Cuda("layer_norm.cu", "layer_norm_sums", sums_launch, types={"VALUE": 0, "REAL": 2}),
    flops=lambda dy, *_: 5 * dy.size,
    scratch=(5, 6),
)
