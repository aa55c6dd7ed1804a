"""Converts an array to another dtype, for example inputs of a prediction to half precision."""

from __future__ import annotations

from typing import Any

from ..launch import each_element
from ..operation import Cuda, Operation


def reference(xp: Any, x: Any, y: Any) -> None:
    """y = x of the same shape, rounded to y's dtype."""
    y[...] = x


CONVERT = Operation(
    "convert",
    reference,
    cuda=Cuda("convert.cu", "convert", each_element, types={"DATA": 0, "VALUE": 1}),
)
