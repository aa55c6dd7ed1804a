"""Sparsity penalty: the KL divergence of mean activations from a target rate (Ng 2011).

term = Σⱼ ρ log(ρ / mⱼ) + (1 − ρ) log((1 − ρ) / (1 − mⱼ)), the KL divergence of Bernoulli distributions with
probabilities ρ and mⱼ; d term / dmⱼ = (1 − ρ) / (1 − mⱼ) − ρ / mⱼ.
"""

from __future__ import annotations

import math
from typing import Any

from ..launch import one_block, over_items
from ..operation import Cuda, Launch, Operation


def forward_reference(xp: Any, mean: Any, term: Any, *, rate: float) -> None:
    """term (1,) from mean activations (n,) between 0 and 1."""
    parts = rate * xp.log(rate / mean) + (1 - rate) * xp.log((1 - rate) / (1 - mean))
    term[0] = xp.sum(parts)


def forward_loop(start: int, stop: int, mean: Any, term: Any, rate: float) -> None:
    """`forward_reference`, as a single item."""
    total = 0.0
    for j in range(mean.shape[0]):
        m = mean.dtype.type(mean[j])
        total += rate * math.log(rate / m) + (1 - rate) * math.log((1 - rate) / (1 - m))
    term[0] = total


def backward_reference(xp: Any, dterm: Any, mean: Any, dmean: Any, *, rate: float) -> None:
    """dmean (n,) = dterm (1,) · ((1 − ρ) / (1 − mean) − ρ / mean)."""
    dmean[...] = dterm * ((1 - rate) / (1 - mean) - rate / mean)


def backward_loop(start: int, stop: int, dterm: Any, mean: Any, dmean: Any, rate: float) -> None:
    """`backward_reference` over elements `start` to `stop`."""
    real = mean.dtype.type
    rho, one = real(rate), real(1)
    for j in range(start, stop):
        dmean[j] = dterm[0] * ((one - rho) / (one - mean[j]) - rho / mean[j])


def units(*arrays: Any) -> int:
    """Number of items of the backward loop: the mean activations."""
    return arrays[1].shape[0]


def forward_launch(mean: Any, term: Any, *, rate: float) -> Launch:
    """A single block."""
    return one_block(mean, term, mean.size, rate)


def backward_launch(dterm: Any, mean: Any, dmean: Any, *, rate: float) -> Launch:
    """One thread per unit."""
    return over_items(mean.size, dterm, mean, dmean, mean.size, rate)


def gradient(graph: Any, node: Any, dterm: Any) -> tuple[Any, ...]:
    """Appends the backward operation."""
    (mean,) = node.inputs
    dmean = graph.like(mean)
    graph.apply(SPARSITY_BACKWARD, (dterm, mean), (dmean,), **node.attributes)
    return (dmean,)


SPARSITY = Operation(
    "sparsity",
    forward_reference,
    forward_loop,
    cuda=Cuda("sparsity.cu", "sparsity", forward_launch),
    gradient=gradient,
    flops=lambda mean, term, *, rate: 8 * mean.size,
)
SPARSITY_BACKWARD = Operation(
    "sparsity_backward",
    backward_reference,
    backward_loop,
    units,
    cuda=Cuda("sparsity.cu", "sparsity_backward", backward_launch),
    flops=lambda dterm, mean, dmean, *, rate: 5 * mean.size,
)
