"""Gradient clipping by global norm (Pascanu et al. 2013), on the device.

Two operations: sums of squares over fixed chunks of the arena, in float64, then the factor
min(1, max_norm / (norm + 1e-6)) that the update multiplies the gradient with.
"""

from __future__ import annotations

import math
from typing import Any

from ...backends.reductions import plus
from ..launch import one_block, over_chunks
from ..operation import Cuda, Launch, Operation

EPS_NORM = 1e-6  # as torch.nn.utils.clip_grad_norm_
CHUNK = 4096  # elements per partial sum; fixed, so that the sum does not depend on how work is divided


def chunks(*arrays: Any) -> int:
    """Number of partial sums of the gradient, the first array."""
    return (arrays[0].size + CHUNK - 1) // CHUNK


def squares_reference(xp: Any, g: Any, partial: Any) -> None:
    """partial[c] = Σ g² over chunk c; g (n,), `partial` (⌈n / CHUNK⌉,) float64."""
    for chunk in range(partial.shape[0]):
        part = xp.astype(g[chunk * CHUNK : (chunk + 1) * CHUNK], xp.float64)
        partial[chunk] = xp.sum(part * part)


def squares_loop(start: int, stop: int, g: Any, partial: Any) -> None:
    """`squares_reference` over chunks `start` to `stop`."""
    for chunk in range(start, stop):
        part = g[chunk * CHUNK : (chunk + 1) * CHUNK]
        total = 0.0
        for i in range(part.shape[0]):
            value = float(part[i])
            total = plus(total, value * value)
        partial[chunk] = total


def factor_reference(xp: Any, partial: Any, clip: Any, *, max_norm: float) -> None:
    """clip[0] = min(1, max_norm / (√Σ partial + 1e-6))."""
    clip[0] = min(1.0, max_norm / (math.sqrt(float(xp.sum(partial))) + EPS_NORM))


def factor_loop(start: int, stop: int, partial: Any, clip: Any, max_norm: float) -> None:
    """`factor_reference`, as a single item; partial sums in order."""
    total = 0.0
    for chunk in range(partial.shape[0]):
        total += partial[chunk]
    clip[0] = min(1.0, max_norm / (math.sqrt(total) + EPS_NORM))


def squares_launch(g: Any, partial: Any) -> Launch:
    """One block per chunk."""
    return over_chunks(partial.size, g, partial, g.size, partial.size, CHUNK)


def factor_launch(partial: Any, clip: Any, *, max_norm: float) -> Launch:
    """A single block."""
    return one_block(partial, clip, partial.size, max_norm, EPS_NORM)


SQUARES = Operation(
    "gradient_squares",
    squares_reference,
    squares_loop,
    chunks,
    cuda=Cuda("gradient_norm.cu", "gradient_squares", squares_launch),
    flops=lambda g, *_: 2 * g.size,
)
CLIP_FACTOR = Operation(
    "clip_factor",
    factor_reference,
    factor_loop,
    cuda=Cuda("gradient_norm.cu", "clip_factor", factor_launch, types={"REAL": 1}),
    flops=lambda partial, *_, **__: partial.size,
)
