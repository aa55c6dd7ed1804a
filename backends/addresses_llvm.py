"""The calls of addresses.py, as Numba compiles them."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def keep(typing, place, arguments):
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = context.get_value_type(signature.args[1])
        value = _unowned(context, builder, signature.args[1], values[1])
        builder.store(value, builder.inttoptr(values[0], kind.as_pointer())).align = 8
        return context.get_dummy_value()

    return types.void(types.int64, arguments), generate


def _unowned(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """A value whose arrays have no owner, so that compiled code does not count references to what may be gone."""
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo, array.parent = (getattr(array, name).type(None) for name in ("meminfo", "parent"))
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        for i, part in enumerate(kind.types):  # pyright: ignore[reportAttributeAccessIssue]
            one = _unowned(context, builder, part, builder.extract_value(value, i))
            value = builder.insert_value(value, one, i)
    return value


@intrinsic
def address_of(typing, function, kept, given):
    passed = tuple(types.unliteral(kind) for kind in given)
    inner = function.get_call_type(typing, (*passed, *kept), {})

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        outer = types.int64, *passed
        kind = context.call_conv.get_function_type(types.int64, outer)
        entry = ir.Function(builder.module, kind, builder.module.get_unique_name("entry"))
        entry.linkage = "internal"
        inside = ir.IRBuilder(entry.append_basic_block("entry"))
        arguments = context.get_arg_packer(outer).from_arguments(inside, context.call_conv.get_arguments(entry))
        place, *arguments = arguments
        if len(kept):
            stored = inside.inttoptr(place, context.get_value_type(signature.args[1]).as_pointer())
            arguments += cgutils.unpack_tuple(inside, inside.load(stored, align=8))
        result = context.get_function(function, inner)(inside, arguments)
        number = ir.IntType(64)
        context.call_conv.return_value(inside, result if result.type == number else number(0))
        return builder.ptrtoint(entry, number)

    return types.int64(function, kept, given), generate


@intrinsic
def call(typing, address, place, given):
    outer = types.int64, *(types.unliteral(kind) for kind in given)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = context.call_conv.get_function_type(types.int64, outer)
        target = builder.inttoptr(values[0], kind.as_pointer())
        arguments = [values[1], *cgutils.unpack_tuple(builder, values[2])]
        status, result = context.call_conv.call_function(builder, target, types.int64, outer, arguments)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return result

    return types.int64(types.int64, types.int64, given), generate
