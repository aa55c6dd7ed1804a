"""The arithmetic of reductions.py, as Numba compiles it."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def plus(typing, total, value):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments, flags=("reassoc", "nsz", "contract"))

    return total(total, total), generate


@intrinsic
def larger(typing, most, value):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        free = ("nnan", "nsz")
        above = builder.fcmp_ordered(">", *arguments, flags=free)
        return builder.select(above, *arguments, flags=free)

    return most(most, most), generate


@intrinsic
def multiply_add(typing, a, b, c):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        real = arguments[0].type
        kind, bits = ir.FunctionType(real, [real] * 3), signature.args[0].bitwidth
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.f{bits}")
        return builder.call(function, arguments)

    return a(a, a, a), generate
