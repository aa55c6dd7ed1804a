"""Arithmetic in which the compiler has more freedom: sums and maxima in an order that suits it, fused multiply-adds.

In a sum in order, each element waits for the one before; in an order of its own, the compiler keeps a part in each lane
of a vector. The order depends on the CPU and on the number of elements alone, so the bits are the same in every run and
with any number of threads. That holds for loops that store nothing: whether a loop that also stores uses vectors
depends on where its arrays lie.
"""

from __future__ import annotations

from typing import Any

from .machine import instruction


@instruction
def plus(total: Any, value: Any) -> Any:
    """total + value, for a loop that adds up many; both have the type of `total`."""
    return total + value


@instruction
def larger(most: Any, value: Any) -> Any:
    """The larger of two numbers, for a loop that looks for the largest; any number if one of them is NaN."""
    return most if most > value else value


@instruction
def multiply_add(a: Any, b: Any, c: Any) -> Any:
    """a · b + c of three floats of one type, with one rounding where the CPU has an instruction for it."""
    return a * b + c
