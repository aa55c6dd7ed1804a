"""Calls of compiled functions by their addresses.

A compiled function contains the code of the functions that it calls by name, and is compiled again for each choice of
them. A function that is called by its address is compiled once, and chosen when the caller runs. Some of its arguments
may be stored in memory (`keep`), so that the caller does not depend on their types.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .machine import lowered_by

WORDS = 16  # of memory for a stored argument, at most: an array of up to five dimensions

_functions: list[tuple[Any, bool]] = []  # without compilation: functions, and whether they take stored arguments
_stored: dict[int, tuple[Any, ...]] = {}


def room(arguments: Any) -> np.ndarray:
    """Memory that is large enough to store a tuple of arrays, numbers and such tuples."""
    return np.zeros(max(1, WORDS * _leaves(arguments)), np.int64)


def _leaves(arguments: Any) -> int:
    return sum(map(_leaves, arguments)) if isinstance(arguments, tuple) else 1


def _keep_lowering() -> Any:
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing, place, arguments):
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = context.get_value_type(signature.args[1])
            value = _unowned(context, builder, signature.args[1], values[1])
            builder.store(value, builder.inttoptr(values[0], kind.as_pointer())).align = 8
            return context.get_dummy_value()

        return types.void(types.int64, arguments), generate

    return lowered


def _unowned(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """A value whose arrays have no owner, so that compiled code does not count references to what may be gone."""
    from numba import types

    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo, array.parent = (getattr(array, name).type(None) for name in ("meminfo", "parent"))
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        for i, part in enumerate(kind.types):  # pyright: ignore[reportAttributeAccessIssue]
            one = _unowned(context, builder, part, builder.extract_value(value, i))
            value = builder.insert_value(value, one, i)
    return value


@lowered_by(_keep_lowering)
def keep(place: int, arguments: Any) -> None:
    """Writes a tuple of arrays and numbers, as compiled code represents it, to an address.

    The caller keeps the arrays alive.
    """
    _stored[place] = arguments


def _address_lowering() -> Any:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing, function, kept, given):
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

    return lowered


@lowered_by(_address_lowering)
def address_of(function: Any, kept: Any, given: Any) -> int:
    """The address for `call` of a function that takes arguments of these types, first those that are given.

    `kept` are those that `keep` stores. The function returns an integer or nothing.
    """
    _functions.append((function, len(kept) > 0))
    return len(_functions) - 1


def _call_lowering() -> Any:
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing, address, place, given):
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

    return lowered


@lowered_by(_call_lowering)
def call(address: int, place: int, given: Any) -> int:
    """Calls a function of `address_of` with the given arguments and those stored at `place`; returns its result.

    The given arguments must have the types that `address_of` was given.
    """
    function, stored = _functions[address]
    return function(*given, *(_stored[place] if stored else ()))
