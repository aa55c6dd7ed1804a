"""Converts an array to another dtype, for example inputs of a prediction to half precision."""

from __future__ import annotations

from typing import Any

from ..launch import each_element
from ..operation import Cuda, Operation, elements


def reference(xp: Any, x: Any, y: Any) -> None:
    """y = x of the same shape, rounded to y's dtype."""
    y[...] = x


def loop(start: int, stop: int, x: Any, y: Any) -> None:
    """`reference` over elements `start` to `stop`."""
    xs, ys = x.reshape(-1), y.reshape(-1)
    for i in range(start, stop):
        ys[i] = xs[i]


CONVERT = Operation(
    "convert",
    reference,
    loop,
    elements,
    cuda=Cuda("convert.cu", "convert", each_element, types={"DATA": 0, "VALUE": 1}),
)
