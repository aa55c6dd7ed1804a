"""Differentiable sample from a normal distribution (reparameterization trick, Kingma and Welling 2014).

z = μ + e^(ℓ/2) ε with mean μ, log-variance ℓ and ε from N(0, 1): dμ = dz, dℓ = dz ε e^(ℓ/2) / 2.
"""

from __future__ import annotations

import math
from typing import Any

from ..launch import over_elements
from ..operation import VALUES, Cuda, Launch, Operation, elements


def forward_reference(xp: Any, mean: Any, log_variance: Any, noise: Any, z: Any) -> None:
    """z = mean + exp(log_variance / 2) · noise, any shape."""
    z[...] = mean + xp.exp(log_variance * 0.5) * noise


def forward_loop(start: int, stop: int, mean: Any, log_variance: Any, noise: Any, z: Any) -> None:
    """`forward_reference` over elements `start` to `stop`."""
    half = z.dtype.type(0.5)
    ms, ls = mean.reshape(-1)[start:stop], log_variance.reshape(-1)[start:stop]
    es, zs = noise.reshape(-1)[start:stop], z.reshape(-1)[start:stop]
    for i in range(stop - start):
        zs[i] = ms[i] + math.exp(ls[i] * half) * es[i]


def backward_reference(xp: Any, dz: Any, log_variance: Any, noise: Any, dlog_variance: Any) -> None:
    """dlog_variance = dz · noise · exp(log_variance / 2) / 2."""
    dlog_variance[...] = dz * noise * xp.exp(log_variance * 0.5) * 0.5


def backward_loop(start: int, stop: int, dz: Any, log_variance: Any, noise: Any, dlog_variance: Any) -> None:
    """`backward_reference` over elements `start` to `stop`."""
    half = dz.dtype.type(0.5)
    ds, ls = dz.reshape(-1)[start:stop], log_variance.reshape(-1)[start:stop]
    es, out = noise.reshape(-1)[start:stop], dlog_variance.reshape(-1)[start:stop]
    for i in range(stop - start):
        out[i] = ds[i] * es[i] * math.exp(ls[i] * half) * half


def forward_launch(mean: Any, log_variance: Any, noise: Any, z: Any) -> Launch:
    """One thread per element."""
    return over_elements(z.size, mean, log_variance, noise, z, z.size)


def backward_launch(dz: Any, log_variance: Any, noise: Any, dlog_variance: Any) -> Launch:
    """One thread per element."""
    return over_elements(dz.size, dz, log_variance, noise, dlog_variance, dz.size)


def gradient(graph: Any, node: Any, dz: Any) -> tuple[Any, ...]:
    """Appends the backward operation."""
    _, log_variance, noise = node.inputs
    dlog_variance = graph.like(log_variance)
    graph.apply(REPARAMETERIZE_BACKWARD, (dz, log_variance, noise), (dlog_variance,))
    return dz, dlog_variance, None


REPARAMETERIZE = Operation(
    "reparameterize",
    forward_reference,
    forward_loop,
    elements,
    cuda=Cuda("reparameterize.cu", "reparameterize", forward_launch, types=VALUES),
    gradient=gradient,
    inplace=((0, 0),),
    flops=lambda mean, *_: 4 * mean.size,
)
REPARAMETERIZE_BACKWARD = Operation(
    "reparameterize_backward",
    backward_reference,
    backward_loop,
    elements,
    cuda=Cuda("reparameterize.cu", "reparameterize_backward", backward_launch, types=VALUES),
    flops=lambda dz, *_: 5 * dz.size,
)
