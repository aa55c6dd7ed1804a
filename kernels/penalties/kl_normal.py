"""KL divergence of a normal distribution from the standard normal, for variational autoencoders.

With mean μ and log-variance ℓ of each unit of a row, KL = ½ Σ (μ² + e^ℓ − 1 − ℓ) (Kingma and Welling 2014,
appendix B); dμ = μ, dℓ = (e^ℓ − 1) / 2.
"""

from __future__ import annotations

import math
from typing import Any

from ..launch import over_elements, over_rows
from ..operation import Cuda, Launch, Operation, rows


def forward_reference(xp: Any, mean: Any, log_variance: Any, term: Any) -> None:
    """term (rows, 1) from mean and log_variance (rows, n)."""
    term[:, 0] = 0.5 * xp.sum(mean * mean + (xp.expm1(log_variance) - log_variance), axis=1)


def forward_loop(start: int, stop: int, mean: Any, log_variance: Any, term: Any) -> None:
    """`forward_reference` over rows `start` to `stop`."""
    for row in range(start, stop):
        total = 0.0
        for j in range(mean.shape[1]):
            m, v = mean[row, j], log_variance[row, j]
            total += m * m + (math.expm1(v) - v)
        term[row, 0] = 0.5 * total


def backward_reference(xp: Any, dterm: Any, mean: Any, log_variance: Any, dmean: Any, dlog_variance: Any) -> None:
    """dmean = dterm (rows, 1) · mean; dlog_variance = dterm · (exp(log_variance) − 1) / 2."""
    dmean[...] = dterm * mean
    dlog_variance[...] = dterm * (0.5 * xp.expm1(log_variance))


def backward_loop(
    start: int, stop: int, dterm: Any, mean: Any, log_variance: Any, dmean: Any, dlog_variance: Any
) -> None:
    """`backward_reference` over rows `start` to `stop`."""
    half = dterm.dtype.type(0.5)
    for row in range(start, stop):
        d = dterm[row, 0]
        for j in range(mean.shape[1]):
            dmean[row, j] = d * mean[row, j]
            dlog_variance[row, j] = d * (half * math.expm1(log_variance[row, j]))


def forward_launch(mean: Any, log_variance: Any, term: Any) -> Launch:
    """One warp per row."""
    return over_rows(mean.shape[0], mean, log_variance, term, *mean.shape)


def backward_launch(dterm: Any, mean: Any, log_variance: Any, dmean: Any, dlog_variance: Any) -> Launch:
    """One thread per element."""
    arrays = (dterm, mean, log_variance, dmean, dlog_variance)
    return over_elements(mean.size, *arrays, mean.size, mean.shape[1])


def gradient(graph: Any, node: Any, dterm: Any) -> tuple[Any, ...]:
    """Appends the backward operation."""
    mean, log_variance = node.inputs
    found = graph.like(mean), graph.like(log_variance)
    graph.apply(KL_NORMAL_BACKWARD, (dterm, mean, log_variance), found)
    return found


KL_NORMAL = Operation(
    "kl_normal",
    forward_reference,
    forward_loop,
    rows,
    cuda=Cuda("kl_normal.cu", "kl_normal", forward_launch, types={"VALUE": 0, "REAL": 2}),
    gradient=gradient,
    flops=lambda mean, *_: 6 * mean.size,
)
KL_NORMAL_BACKWARD = Operation(
    "kl_normal_backward",
    backward_reference,
    backward_loop,
    rows,
    cuda=Cuda("kl_normal.cu", "kl_normal_backward", backward_launch, types={"REAL": 0, "VALUE": 1}),
    flops=lambda dterm, mean, *_: 4 * mean.size,
)
