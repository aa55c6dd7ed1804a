"""Machine instructions (atomics, prefetch, float modes), each with an equivalent in Python; `vectors` has the tiles.

Kernels call these functions. Without compilation the Python code below runs; the Numba backend replaces them by
machine instructions. Arrays are flat, positions are offsets in elements, and offsets are checked only if
`checks_bounds` is true.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

SPARE = 256  # spare bytes behind an array's last element that full vectors may access, see `host.aligned_zeros`

_lowerings: dict[FunctionType, Callable[[], Any]] = {}


def lowered_by(make: Callable[[], Any]) -> Callable[[Any], Any]:
    def note(text: Any) -> Any:
        _lowerings[text] = cache(make)
        return text

    return note


def checks_bounds() -> bool:
    """Whether compiled loops raise IndexError outside an array (NUMBA_BOUNDSCHECK=1): slow, for tests."""
    return os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0")


def check_place(context: Any, builder: Any, kind: Any, array: Any, first: Any, last: Any) -> None:
    """If bounds are checked, raises IndexError unless `first` to `last` are inside the array."""
    if not checks_bounds():
        return
    zero, spare = first.type(0), first.type(SPARE // (kind.dtype.bitwidth // 8))
    behind = builder.add(context.make_array(kind)(context, builder, array).nitems, spare)
    outside = builder.or_(builder.icmp_signed("<", first, zero), builder.icmp_signed(">=", last, behind))
    with builder.if_then(outside, likely=False):
        context.call_conv.return_user_exc(builder, IndexError, ("a tile lies outside its array",))


def intrinsic(text: FunctionType) -> Any:
    """The Numba intrinsic for a function of this module; None for any other function."""
    make = _lowerings.get(text)
    return make() if make else None


def _load_lowering() -> Any:
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing, flags, i):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            return builder.load_atomic(builder.gep(data, [arguments[1]]), "acquire", 8)

        return types.int64(flags, types.int64), generate

    return lowered


@lowered_by(_load_lowering)
def load(flags: Any, i: int) -> int:
    """Returns flags[i] (int64) with acquire order: all earlier writes of the thread that stored it are visible."""
    return flags[i]


def _store_lowering() -> Any:
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing, flags, i, value):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            builder.store_atomic(arguments[2], builder.gep(data, [arguments[1]]), "release", 8)
            return context.get_dummy_value()

        return types.void(flags, types.int64, types.int64), generate

    return lowered


@lowered_by(_store_lowering)
def store(flags: Any, i: int, value: int) -> None:
    """flags[i] = value (int64) with release order: after all earlier writes."""
    flags[i] = value


def _give_way_lowering() -> Any:
    import sys

    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
            function = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, function, name), [])
            return context.get_dummy_value()

        return types.void(), generate

    return lowered


@lowered_by(_give_way_lowering)
def give_way() -> None:
    """Yields the CPU to a waiting thread, if there is one."""


def _prefetch_lowering() -> Any:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing, array, i):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            function = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
            fetch = cgutils.get_or_insert_function(builder.module, function, "llvm.prefetch.p0")
            place = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
            builder.call(fetch, [place, number(0), number(2), number(1)])
            return context.get_dummy_value()

        return types.void(array, types.int64), generate

    return lowered


@lowered_by(_prefetch_lowering)
def prefetch(array: Any, i: int) -> None:
    """Prefetches the cache line of element `i` of a flat array."""


def _flush_lowering() -> Any:
    import platform

    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing, mode):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            number = ir.IntType(32)
            if platform.machine().lower() not in ("x86_64", "amd64"):
                return number(0)
            place = cgutils.alloca_once(builder, number)
            byte = builder.bitcast(place, ir.IntType(8).as_pointer())
            function = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
            read, write = (
                cgutils.get_or_insert_function(builder.module, function, f"llvm.x86.sse.{name}mxcsr")
                for name in ("st", "ld")
            )
            builder.call(read, [byte])
            old = builder.load(place)
            builder.store(builder.trunc(arguments[0], number), place)
            builder.call(write, [byte])
            return old

        return types.int32(types.int64), generate

    return lowered


@lowered_by(_flush_lowering)
def float_mode(mode: int) -> int:
    """Sets this thread's rounding mode and treatment of denormal numbers; returns the previous mode."""
    return mode
