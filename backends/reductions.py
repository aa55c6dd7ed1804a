"""Arithmetic in which the compiler has more freedom: sums and maxima in an order that suits it, fused multiply-adds.

In a sum in order, each element waits for the one before; in an order of its own, the compiler keeps a part in each lane
of a vector. The order depends on the CPU and on the number of elements alone, so the bits are the same in every run and
with any number of threads. That holds for loops that store nothing: whether a loop that also stores uses vectors
depends on where its arrays lie.
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


def _multiply_add_lowering() -> Any:
    from llvmlite import ir
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing, a, b, c):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            real = arguments[0].type
            kind, bits = ir.FunctionType(real, [real] * 3), signature.args[0].bitwidth
            function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.f{bits}")
            return builder.call(function, arguments)

        return a(a, a, a), generate

    return lowered


@lowered_by(_multiply_add_lowering)
def multiply_add(a: Any, b: Any, c: Any) -> Any:
    """a · b + c of three floats of one type, with one rounding where the CPU has an instruction for it."""
    return a * b + c
