"""Gradient clipping by value: each element is clipped to [−bound, bound]."""

from __future__ import annotations

import math
from typing import Any

from ..launch import each_element
from ..operation import Cuda, Operation, elements


def reference(xp: Any, g: Any, *, bound: float) -> None:
    """Changes g (n,) in place; NaN stays NaN."""
    g[...] = xp.where(g > bound, bound + xp.zeros_like(g), xp.where(g < -bound, xp.zeros_like(g) - bound, g))


def scaled_reference(xp: Any, g: Any, scale: Any, *, bound: float) -> None:
    """`reference` for gradients times scale[0]; infinite elements become NaN, so that they do not look finite."""
    lost = xp.where(xp.isfinite(g), xp.zeros_like(g), math.nan + xp.zeros_like(g))
    reference(xp, g, bound=bound * float(scale[0]))
    g[...] = g + lost


def loop(start: int, stop: int, g: Any, bound: float) -> None:
    """`reference` over elements `start` to `stop`."""
    high = g.dtype.type(bound)
    gs = g[start:stop]
    for i in range(stop - start):
        v = gs[i]
        gs[i] = high if v > high else (-high if v < -high else v)


CLIP_VALUES = Operation(
    "clip_values",
    reference,
    loop,
    elements,
    cuda=Cuda("clip_values.cu", "clip_values", each_element),
    flops=lambda g, **_: g.size,
)
CLIP_SCALED = Operation(
    "clip_scaled",
    scaled_reference,
    cuda=Cuda("clip_values.cu", "clip_scaled", each_element),
    flops=lambda g, *_, **__: g.size,
)
