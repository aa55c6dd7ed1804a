"""Options of how a loop or a function that it calls is compiled by Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def inlined(function: Function) -> Function:
    """Compiles the function into each of its callers; a loop that calls it would not vectorise."""
    function.options = {"forceinline": True}  # pyright: ignore[reportFunctionMemberAccess]
    return function


def sums_in_parts(loop: Function) -> Function:
    """Allows sums in several parts at once, in an order that the compiler chooses, so that they vectorise.

    The order depends on the processor's vectors. A loop that adds must not store to arrays: whether it vectorises,
    and so the bits of its result, would depend on where the arrays lie.
    """
    loop.options = {"fastmath": {"reassoc"}}  # pyright: ignore[reportFunctionMemberAccess]
    return loop
