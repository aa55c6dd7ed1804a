"""Options of how Numba compiles a function that loops call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def inlined(function: Function) -> Function:
    """Compiles the function into each of its callers; a loop that calls it would not vectorise."""
    function.options = {"forceinline": True}  # pyright: ignore[reportFunctionMemberAccess]
    return function
