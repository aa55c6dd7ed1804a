"""Calls of compiled functions by their addresses.

A compiled function contains the code of the functions that it calls by name, and is compiled again for each choice of
them. A function that is called by its address is compiled once, and chosen when the caller runs. Some of its arguments
may be stored in memory (`keep`), so that the caller does not depend on their types.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .machine import instruction

WORDS = 16  # of memory for a stored argument, at most: an array of up to five dimensions

_functions: list[tuple[Any, bool]] = []  # without compilation: functions, and whether they take stored arguments
_stored: dict[int, tuple[Any, ...]] = {}


def room(arguments: Any) -> np.ndarray:
    """Memory that is large enough to store a tuple of arrays, numbers and such tuples."""
    return np.zeros(max(1, WORDS * _leaves(arguments)), np.int64)


def _leaves(arguments: Any) -> int:
    return sum(map(_leaves, arguments)) if isinstance(arguments, tuple) else 1


@instruction
def keep(place: int, arguments: Any) -> None:
    """Writes a tuple of arrays and numbers, as compiled code represents it, to an address.

    The caller keeps the arrays alive.
    """
    _stored[place] = arguments


@instruction
def address_of(function: Any, kept: Any, given: Any) -> int:
    """The address for `call` of a function that takes arguments of these types, first those that are given.

    `kept` are those that `keep` stores. The function returns an integer or nothing.
    """
    _functions.append((function, len(kept) > 0))
    return len(_functions) - 1


@instruction
def call(address: int, place: int, given: Any) -> int:
    """Calls a function of `address_of` with the given arguments and those stored at `place`; returns its result.

    The given arguments must have the types that `address_of` was given.
    """
    function, stored = _functions[address]
    return function(*given, *(_stored[place] if stored else ()))
