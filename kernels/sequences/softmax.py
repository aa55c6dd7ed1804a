"""Attention softmax: the softmax of each row of matrices, optionally causal.

p = softmax(scale · s), where a causal row t of a square matrix includes only columns 0 to t and is 0 beyond (Vaswani
et al. 2017).
Backward: ds = scale · p · (dp − Σ over the row of p · dp). A row's maximum is subtracted first, so exp cannot overflow.
"""

from __future__ import annotations

import math
from typing import Any

from ...backends.machine import take
from ...backends.reductions import larger, plus
from ..exponentials import exponentiate
from ..launch import over_rows
from ..operation import VALUES, Cuda, Launch, Operation
from ..single import LEAST

BLOCK = 4096  # elements


def forward_reference(xp: Any, s: Any, p: Any, *, scale: float, causal: int) -> None:
    """p (matrices, m, n) from s (matrices, m, n); `scale` is above 0; `causal` needs m = n."""
    n = s.shape[2]
    if s.size == 0:
        return
    if causal:
        places = xp.arange(n)
        s = xp.where(places[:, None] >= places[None, :], s, xp.zeros_like(s) - float("inf"))
    exps = xp.exp((s - xp.max(s, axis=2)[:, :, None]) * scale)
    p[...] = exps / xp.sum(exps, axis=2)[:, :, None]


def forward_loop(start: int, stop: int, s: Any, p: Any, scale: float, causal: int) -> None:
    """`forward_reference` over rows `start` to `stop` of all matrices, in blocks that stay in the fastest cache."""
    real = p.dtype.type
    n, factor, low = s.shape[2], real(scale), real(-math.inf)
    given, shares, some = s.reshape(-1), p.reshape(-1), max(1, BLOCK // max(n, 1))
    for begin in range(start, stop, some):
        end = min(begin + some, stop)
        target = shares[begin * n : end * n]
        take(given[begin * n : end * n], target)
        for row in range(begin, end):
            last, top, out = row % n + 1 if causal else n, low, shares[row * n : row * n + n]
            for j in range(n):
                top = larger(top, out[j] if j < last else low)
            for j in range(n):
                out[j] = (out[j] - top) * factor if j < last else real(LEAST)
        exponentiate(target)
        for row in range(begin, end):
            last, total, out = row % n + 1 if causal else n, real(0), shares[row * n : row * n + n]
            for j in range(n):
                total = plus(total, out[j] if j < last else real(0))
            share = real(1) / total
            for j in range(n):
                out[j] = out[j] * share if j < last else real(0)


def backward_reference(xp: Any, dp: Any, p: Any, ds: Any, *, scale: float) -> None:
    """ds (matrices, m, n) from dp and p (matrices, m, n)."""
    ds[...] = scale * p * (dp - xp.sum(p * dp, axis=2)[:, :, None])


def backward_loop(start: int, stop: int, dp: Any, p: Any, ds: Any, scale: float) -> None:
    """`backward_reference` over rows `start` to `stop` of all matrices."""
    real = ds.dtype.type
    m, n, factor = p.shape[1], p.shape[2], real(scale)
    for item in range(start, stop):
        given, shares, out = dp[item // m, item % m], p[item // m, item % m], ds[item // m, item % m]
        total = real(0)
        for j in range(n):
            total = plus(total, shares[j] * given[j])
        take(given, out)
        for j in range(n):
            out[j] = factor * shares[j] * (out[j] - total)


def rows(*arrays: Any) -> int:
    """Number of items: the rows of all matrices; none without columns."""
    matrices, m, n = arrays[0].shape
    return matrices * m if n else 0


def forward_launch(s: Any, p: Any, *, scale: float, causal: int) -> Launch:
    """One warp per row."""
    return over_rows(rows(s), s, p, rows(s), s.shape[2], scale, causal)


def backward_launch(dp: Any, p: Any, ds: Any, *, scale: float) -> Launch:
    """One warp per row."""
    return over_rows(rows(p), dp, p, ds, rows(p), p.shape[2], scale)


def gradient(graph: Any, node: Any, dp: Any) -> tuple[Any, ...]:
    """Appends the backward operation; a mask has no gradient."""
    ds = graph.like(node.inputs[0])
    graph.apply(SOFTMAX_BACKWARD, (dp, node.outputs[0]), (ds,), scale=node.attributes["scale"])
    return (ds, *(None for _ in node.inputs[1:]))


SOFTMAX = Operation(
    "softmax",
    forward_reference,
    forward_loop,
    rows,
    cuda=Cuda("softmax.cu", "softmax", forward_launch, types=VALUES),
    gradient=gradient,
    inplace=((0, 0),),
    flops=lambda s, *_, **__: 5 * s.size,
)
SOFTMAX_BACKWARD = Operation(
    "softmax_backward",
    backward_reference,
    backward_loop,
    rows,
    cuda=Cuda("softmax.cu", "softmax_backward", backward_launch, types=VALUES),
    inplace=((0, 0),),
    flops=lambda dp, *_, **__: 5 * dp.size,
)
