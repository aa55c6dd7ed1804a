"""Batch normalisation of columns (Ioffe and Szegedy 2015), its backward pass, and its running statistics.

With μ and σ² a column's mean and variance, x̂ = (x − μ) / √(σ² + eps) and y = w x̂ + b. In training μ and σ² are
those of the batch, and dx = w / √(σ² + eps) · (dy − mean dy − x̂ · mean(dy x̂)); in evaluation they are fixed, and
dx = w / √(σ² + eps) · dy. All sums are float64. Statistics are ``inverse`` = 1 / √(σ² + eps), μ and σ², (n,).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from ..counters import FAILED
from ..launch import COLUMN_BLOCK, grid, over_items
from ..operation import Cuda, Launch, Operation, columns


def forward_reference(
    xp: Any, x: Any, weight: Any, bias: Any, y: Any, mean: Any, variance: Any, inverse: Any, *, eps: float
) -> None:
    """y (rows, n) from x (rows, n), weight and bias (n,); the statistics of the batch, float64."""
    if x.shape[0] == 0:
        return
    wide = xp.astype(x, xp.float64)
    mean[...] = xp.sum(wide, axis=0) / x.shape[0]
    wide = wide - mean
    variance[...] = xp.sum(wide * wide, axis=0) / x.shape[0]
    inverse[...] = 1 / xp.sqrt(variance + eps)
    y[...] = xp.astype(wide * inverse * xp.astype(weight, xp.float64) + xp.astype(bias, xp.float64), y.dtype)


def forward_loop(
    start: int, stop: int, x: Any, weight: Any, bias: Any, y: Any, mean: Any, variance: Any, inverse: Any, eps: float
) -> None:
    """`forward_reference` over columns `start` to `stop`."""
    count, n = x.shape[0], stop - start
    if count == 0:
        return
    means, variances, inverses = mean[start:stop], variance[start:stop], inverse[start:stop]
    w, b = weight[start:stop], bias[start:stop]
    for j in range(n):
        means[j] = variances[j] = 0.0
    for row in range(count):
        xs = x[row, start:stop]
        for j in range(n):
            means[j] += xs[j]
    for j in range(n):
        means[j] /= count
    for row in range(count):
        xs = x[row, start:stop]
        for j in range(n):
            d = xs[j] - means[j]
            variances[j] += d * d
    for j in range(n):
        variances[j] /= count
        inverses[j] = 1.0 / math.sqrt(variances[j] + eps)
    for row in range(count):
        xs, ys = x[row, start:stop], y[row, start:stop]
        for j in range(n):
            ys[j] = (xs[j] - means[j]) * inverses[j] * w[j] + b[j]


def fixed_reference(
    xp: Any, x: Any, weight: Any, bias: Any, mean: Any, variance: Any, y: Any, inverse: Any, *, eps: float
) -> None:
    """y (rows, n) with a given mean and variance (n,); ``inverse`` (n,) float64."""
    inverse[...] = 1 / xp.sqrt(xp.astype(variance, xp.float64) + eps)
    y[...] = (x - mean) * (xp.astype(inverse, y.dtype) * weight) + bias


def fixed_loop(
    start: int, stop: int, x: Any, weight: Any, bias: Any, mean: Any, variance: Any, y: Any, inverse: Any, eps: float
) -> None:
    """`fixed_reference` over columns `start` to `stop`."""
    real, n = y.dtype.type, stop - start
    inverses, w, b, means = inverse[start:stop], weight[start:stop], bias[start:stop], mean[start:stop]
    for j in range(n):
        inverses[j] = 1.0 / math.sqrt(variance[start + j] + eps)
    for row in range(x.shape[0]):
        xs, ys = x[row, start:stop], y[row, start:stop]
        for j in range(n):
            ys[j] = (xs[j] - means[j]) * (real(inverses[j]) * w[j]) + b[j]


def backward_reference(
    xp: Any,
    dy: Any,
    x: Any,
    weight: Any,
    mean: Any,
    inverse: Any,
    dx: Any,
    dweight: Any,
    dbias: Any,
    sums: Any,
    *,
    moving: int,
) -> None:
    """dx (rows, n), dweight and dbias (n,); `moving` is 1 if mean and inverse are those of the batch.

    `sums` (2, n) float64 is scratch.
    """
    wide = xp.astype(dy, xp.float64)
    normal = (xp.astype(x, xp.float64) - xp.astype(mean, xp.float64)) * inverse
    plain, crossed = xp.sum(wide, axis=0), xp.sum(wide * normal, axis=0)
    dbias[...] = xp.astype(plain, dbias.dtype)
    dweight[...] = xp.astype(crossed, dweight.dtype)
    if moving and x.shape[0]:
        wide = wide - (plain + normal * crossed) / x.shape[0]
    dx[...] = xp.astype(wide * (inverse * xp.astype(weight, xp.float64)), dx.dtype)


def backward_loop(
    start: int,
    stop: int,
    dy: Any,
    x: Any,
    weight: Any,
    mean: Any,
    inverse: Any,
    dx: Any,
    dweight: Any,
    dbias: Any,
    sums: Any,
    moving: int,
) -> None:
    """`backward_reference` over columns `start` to `stop`."""
    count, n = x.shape[0], stop - start
    share = moving / max(count, 1)
    means, inverses, w = mean[start:stop], inverse[start:stop], weight[start:stop]
    plain, crossed = sums[0, start:stop], sums[1, start:stop]
    for j in range(n):
        plain[j] = crossed[j] = 0.0
    for row in range(count):
        ds, xs = dy[row, start:stop], x[row, start:stop]
        for j in range(n):
            plain[j] += ds[j]
            crossed[j] += ds[j] * ((xs[j] - float(means[j])) * inverses[j])
    for j in range(n):
        dbias[start + j], dweight[start + j] = plain[j], crossed[j]
    for row in range(count):
        ds, xs, out = dy[row, start:stop], x[row, start:stop], dx[row, start:stop]
        for j in range(n):
            normal = (xs[j] - float(means[j])) * inverses[j]
            out[j] = (ds[j] - (plain[j] + normal * crossed[j]) * share) * (inverses[j] * w[j])


def running_reference(
    xp: Any, x: Any, mean: Any, variance: Any, running_mean: Any, running_var: Any, counters: Any, *, momentum: float
) -> None:
    """Moves running statistics (n,) towards the batch's by `momentum`; the variance as n / (n − 1) σ², as PyTorch.

    x (rows, n) is the batch; a single row leaves the variance unchanged. Does nothing after a non-finite loss.
    """
    count = x.shape[0]
    if int(counters[FAILED]) >= 0 or count == 0:
        return
    kept = 1 - momentum
    moved = kept * xp.astype(running_mean, xp.float64) + momentum * mean
    running_mean[...] = xp.astype(moved, running_mean.dtype)
    if count > 1:
        moved = kept * xp.astype(running_var, xp.float64) + (momentum * count / (count - 1)) * variance
        running_var[...] = xp.astype(moved, running_var.dtype)


def running_loop(
    start: int,
    stop: int,
    x: Any,
    mean: Any,
    variance: Any,
    running_mean: Any,
    running_var: Any,
    counters: Any,
    momentum: float,
) -> None:
    """`running_reference` over columns `start` to `stop`."""
    count = x.shape[0]
    if counters[FAILED] >= 0 or count == 0:
        return
    for j in range(start, stop):
        running_mean[j] = (1 - momentum) * running_mean[j] + momentum * mean[j]
        if count > 1:
            running_var[j] = (1 - momentum) * running_var[j] + (momentum * count / (count - 1)) * variance[j]


def whole_columns(first: Any, *others: Any, **attribute: Any) -> Launch:
    """One block per 32 columns of the first array (rows, n), over all rows."""
    return Launch(
        grid(first.shape[1], COLUMN_BLOCK[0]), COLUMN_BLOCK, (first, *others, *first.shape, *attribute.values())
    )


def forward_launch(x: Any, *others: Any, eps: float) -> Launch:
    """As `whole_columns`; no rows are no work."""
    launch = whole_columns(x, *others, eps=eps)
    return launch if x.shape[0] else replace(launch, grid=(0, 1, 1))


def running_launch(
    x: Any, mean: Any, variance: Any, running_mean: Any, running_var: Any, counters: Any, *, momentum: float
) -> Launch:
    """One thread per column."""
    count, n = x.shape
    arguments = (mean, variance, running_mean, running_var, counters, count, n, float(momentum))
    return over_items(n if count else 0, *arguments)


def gradient(graph: Any, node: Any, dy: Any, *_: Any) -> tuple[Any, ...]:
    """Appends the backward operation for training."""
    x, weight, bias = node.inputs
    _, mean, _, inverse = node.outputs
    return _backward(graph, dy, x, weight, bias, mean, inverse, moving=1)


def fixed_gradient(graph: Any, node: Any, dy: Any, *_: Any) -> tuple[Any, ...]:
    """Appends the backward operation for evaluation."""
    x, weight, bias, mean, _ = node.inputs
    return (*_backward(graph, dy, x, weight, bias, mean, node.outputs[1], moving=0), None, None)


def _backward(
    graph: Any, dy: Any, x: Any, weight: Any, bias: Any, mean: Any, inverse: Any, *, moving: int
) -> tuple[Any, ...]:
    gradients = tuple(graph.like(value) for value in (x, weight, bias))
    sums = graph.fixed((2, x.shape[0]), "float64")
    graph.apply(BATCH_NORM_BACKWARD, (dy, x, weight, mean, inverse), (*gradients, sums), moving=moving)
    return gradients


BATCH_NORM = Operation(
    "batch_norm",
    forward_reference,
    forward_loop,
    columns,
    cuda=Cuda("batch_norm.cu", "batch_norm", forward_launch, types={"VALUE": 0, "REAL": 1}),
    gradient=gradient,
    flops=lambda x, *_, **__: 7 * x.size,
)
BATCH_NORM_FIXED = Operation(
    "batch_norm_fixed",
    fixed_reference,
    fixed_loop,
    columns,
    cuda=Cuda("batch_norm.cu", "batch_norm_fixed", whole_columns, types={"VALUE": 0, "REAL": 1}),
    gradient=fixed_gradient,
    flops=lambda x, *_, **__: 3 * x.size,
)
BATCH_NORM_BACKWARD = Operation(
    "batch_norm_backward",
    backward_reference,
    backward_loop,
    columns,
    cuda=Cuda("batch_norm_backward.cu", "batch_norm_backward", whole_columns, types={"VALUE": 0, "REAL": 2, "MEAN": 3}),
    flops=lambda dy, *_, **__: 11 * dy.size,
    scratch=(8,),
)
RUNNING_STATISTICS = Operation(
    "running_statistics",
    running_reference,
    running_loop,
    columns,
    cuda=Cuda("batch_norm.cu", "running_statistics", running_launch, types={"VALUE": 0, "REAL": 3}),
    flops=lambda x, *_, **__: 6 * x.shape[1],
    traffic=lambda x, mean, variance, running_mean, *_: (4 * mean.nbytes, 2 * running_mean.nbytes),
)
