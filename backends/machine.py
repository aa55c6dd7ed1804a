"""Machine instructions (atomics, prefetch, copies, float modes) with equivalents in Python; `vectors` has the tiles.

Kernels call these functions. Without compilation the Python code below runs; the Numba backend replaces them by
machine instructions (machine_llvm.py). Arrays are flat, positions are offsets in elements, and offsets are checked only
if `checks_bounds` is true.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import FunctionType
from typing import Any

SPARE = 256  # spare bytes behind an array's last element that full vectors may access, see `host.aligned_zeros`

_instructions: set[FunctionType] = set()


def instruction(text: Any) -> Any:
    """Marks a function that Numba replaces: by that of the same name in the module beside its own, ``…_llvm``."""
    _instructions.add(text)
    return text


def checks_bounds() -> bool:
    """Whether compiled loops raise IndexError outside an array (NUMBA_BOUNDSCHECK=1): slow, for tests."""
    return os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0")


def intrinsic(text: FunctionType) -> Any:
    """The Numba intrinsic for an instruction; None for any other function."""
    return getattr(import_module(f"{text.__module__}_llvm"), text.__name__) if text in _instructions else None


@instruction
def load(flags: Any, i: int) -> int:
    """Returns flags[i] (int64) with acquire order: all earlier writes of the thread that stored it are visible."""
    return flags[i]


@instruction
def store(flags: Any, i: int, value: int) -> None:
    """flags[i] = value (int64) with release order: after all earlier writes."""
    flags[i] = value


@instruction
def add(flags: Any, i: int, value: int) -> int:
    """flags[i] += value (int64) as one step, also if several threads do so at once; returns what was there."""
    before = flags[i]
    flags[i] = before + value
    return before


@instruction
def give_way() -> None:
    """Yields the CPU to a waiting thread, if there is one."""


@instruction
def prefetch(array: Any, i: int) -> None:
    """Prefetches the cache line of element `i` of a flat array."""


@instruction
def take(source: Any, target: Any) -> None:
    """target[:] = source, for vectors of one size and type; nothing if they begin at the same place.

    A loop that then changes `target` alone is compiled to vector instructions, also where an operation works in place.
    A loop that reads `source` and writes `target` is not in that case: to the compiler, the two seem to overlap.
    """
    target[:] = source


@instruction
def float_mode(mode: int) -> int:
    """Sets this thread's rounding mode and treatment of denormal numbers; returns the previous mode."""
    return mode
