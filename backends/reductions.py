"""Steps of a sum or a maximum whose order the compiler may choose, so that it keeps one part in each vector lane.

Without this permission it takes one element after the other, each of which waits for the one before. The order depends
on the CPU and on the number of elements alone, so the bits are the same in every run and with any number of threads.
"""

from __future__ import annotations

from typing import Any

from .machine import lowered_by


def _plus_lowering() -> Any:
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing, total, value):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.fadd(*arguments, flags=("reassoc", "nsz", "contract"))

        return total(total, total), generate

    return lowered


@lowered_by(_plus_lowering)
def plus(total: Any, value: Any) -> Any:
    """total + value, for a loop that adds up many; both have the type of `total`."""
    return total + value


def _larger_lowering() -> Any:
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing, most, value):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            free = ("nnan", "nsz")
            above = builder.fcmp_ordered(">", *arguments, flags=free)
            return builder.select(above, *arguments, flags=free)

        return most(most, most), generate

    return lowered


@lowered_by(_larger_lowering)
def larger(most: Any, value: Any) -> Any:
    """The larger of two numbers, for a loop that looks for the largest; any number if one of them is NaN."""
    return most if most > value else value
