"""What makes an array function: on symbols it traces, on arrays it is the function of their own library."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from .expression import Expression, apply
from .operators import OPERATORS
from .traced_array import METHODS, TracedArray, expression_of, has_traced


def array_function(trace: Callable[..., Expression]) -> Callable[..., Any]:
    """An array function: `trace` on symbols, the function of the same name of an array module on arrays."""
    name = trace.__name__

    @wraps(trace)
    def call(*values: Any, **options: Any) -> Any:
        given = values[0] if isinstance(values[0], list | tuple) else values
        if not has_traced(given):
            return getattr(_namespace(given), name)(*values, **options)
        inputs = [list(map(expression_of, value)) if isinstance(value, list) else value for value in values]
        return TracedArray(trace(*map(expression_of, inputs), **options))

    METHODS[name] = call
    return call


def elementwise(name: str, doc: str) -> Callable[..., Any]:
    """The array function of an operator that takes each element by itself."""

    def call(*values: Any) -> Any:
        if has_traced(values):
            return TracedArray(apply(name, *map(expression_of, values)))
        return OPERATORS[name].array(_namespace(values), *values)

    call.__module__, call.__doc__ = f"{__package__}.xp", doc
    call.__name__ = call.__qualname__ = name
    METHODS[name] = call
    return call


def _namespace(values: Any) -> Any:
    """The array module of the first array; NumPy for numbers."""
    for value in values:
        if hasattr(value, "__array_namespace__"):
            return value.__array_namespace__()
    return np
