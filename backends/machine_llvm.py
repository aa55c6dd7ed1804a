"""The machine instructions of machine.py, as Numba compiles them."""

from __future__ import annotations

import platform
import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from .machine import SPARE, checks_bounds

VECTOR = ir.VectorType(ir.IntType(32), 16)  # which `take` copies at once, in as many registers as that takes


def check_place(context: Any, builder: Any, kind: Any, array: Any, first: Any, last: Any) -> None:
    """If bounds are checked, raises IndexError unless `first` to `last` are inside the array."""
    if not checks_bounds():
        return
    zero, spare = first.type(0), first.type(SPARE // (kind.dtype.bitwidth // 8))
    behind = builder.add(context.make_array(kind)(context, builder, array).nitems, spare)
    outside = builder.or_(builder.icmp_signed("<", first, zero), builder.icmp_signed(">=", last, behind))
    with builder.if_then(outside, likely=False):
        context.call_conv.return_user_exc(builder, IndexError, ("a tile lies outside its array",))


@intrinsic
def load(typing, flags, i):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(builder.gep(data, [arguments[1]]), "acquire", 8)

    return types.int64(flags, types.int64), generate


@intrinsic
def store(typing, flags, i, value):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        builder.store_atomic(arguments[2], builder.gep(data, [arguments[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(flags, types.int64, types.int64), generate


@intrinsic
def add(typing, flags, i, value):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", builder.gep(data, [arguments[1]]), arguments[2], "acq_rel")

    return types.int64(flags, types.int64, types.int64), generate


@intrinsic
def give_way(typing):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
        function = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, function, name), [])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def prefetch(typing, array, i):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        function = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        fetch = cgutils.get_or_insert_function(builder.module, function, "llvm.prefetch.p0")
        place = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(fetch, [place, number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@intrinsic
def take(typing, source, target):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = zip(signature.args, arguments, strict=True)
        given, out = (context.make_array(kind)(context, builder, value) for kind, value in kinds)
        first, size = out.nitems.type(0), source.dtype.bitwidth // 8
        check_place(context, builder, source, arguments[0], first, builder.sub(out.nitems, first.type(1)))
        with builder.if_then(builder.icmp_unsigned("!=", given.data, out.data)):
            if source.layout == target.layout == "C":  # on some CPUs, memcpy takes twice as long
                vectors = [builder.bitcast(array.data, VECTOR.as_pointer()) for array in (given, out)]
                each = first.type(VECTOR.count * 4 // size)
                full = builder.sdiv(out.nitems, each)
                with cgutils.for_range(builder, full) as loop:
                    values = builder.load(builder.gep(vectors[0], [loop.index]), align=size)
                    builder.store(values, builder.gep(vectors[1], [loop.index])).align = size
                first = builder.mul(full, each)
            with cgutils.for_range_slice(builder, first, out.nitems, first.type(1)) as (index, _):
                places = [(array.data, builder.extract_value(array.strides, 0)) for array in (given, out)]
                here = [cgutils.pointer_add(builder, at, builder.mul(index, step)) for at, step in places]
                builder.store(builder.load(here[0]), here[1])
        return context.get_dummy_value()

    if source.dtype != target.dtype:
        raise TypingError(f"take copies vectors of one type, not {source} to {target}")

    return types.void(source, target), generate


@intrinsic
def float_mode(typing, mode):
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
