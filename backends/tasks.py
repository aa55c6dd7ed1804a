"""Lists of compiled operations that the threads of a pool run together, without Python between them.

`bind` stores the arguments of a loop in memory and returns the address of a function that runs a range of the loop's
items on them. `run` calls such functions by their addresses: each thread runs its share of the items of one task, then
the threads wait for each other. A table has a row per task, with the columns below.
"""

from __future__ import annotations

from typing import Any

from .machine import lowered_by
from .thread_pool import share, wait

FUNCTION, ARGUMENTS, ITEMS, GRAIN, THREADS = range(5)  # columns of a table of tasks
COLUMNS = 5
WORDS = 16  # of memory for an argument, at most: an array of up to five dimensions


def run(thread: int, threads: int, count: int, table: Any, flags: Any) -> None:
    """A thread's share of the tasks of a table, `count` times."""
    for _ in range(count):
        for task in range(table.shape[0]):
            row = table[task]
            used = min(threads, row[THREADS])
            if thread < used:
                start, stop = share(row[ITEMS], thread, used, row[GRAIN])
                if start < stop:
                    call(row[FUNCTION], row[ARGUMENTS], start, stop)
            wait(thread, threads, flags)


def bind(place: int, arguments: Any) -> int:
    """Stores the arguments of `loop` at an address; returns the address of a function that calls it with them."""
    keep(place, arguments)
    return address(loop, arguments)


def loop(start: int, stop: int, *arguments: Any) -> None:
    """The loop of an operation, which replaces this function."""


def _keep_lowering() -> Any:
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing, place, arguments):
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = context.get_value_type(signature.args[1])
            builder.store(values[1], builder.inttoptr(values[0], kind.as_pointer())).align = 8
            return context.get_dummy_value()

        return types.void(types.int64, arguments), generate

    return lowered


@lowered_by(_keep_lowering)
def keep(place: int, arguments: Any) -> None:
    """Writes a tuple of arrays and numbers, as compiled code represents it, to an address."""
    raise NotImplementedError("tasks run only as compiled code")


def _address_lowering() -> Any:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing, function, arguments):
        inner = function.get_call_type(typing, (types.int64, types.int64, *arguments), {})
        outer = (types.int64,) * 3

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = context.call_conv.get_function_type(types.void, outer)
            thunk = ir.Function(builder.module, kind, builder.module.get_unique_name("task"))
            thunk.linkage = "internal"
            inside = ir.IRBuilder(thunk.append_basic_block("entry"))
            place, start, stop = context.call_conv.get_arguments(thunk)
            stored = inside.inttoptr(place, context.get_value_type(signature.args[1]).as_pointer())
            parts = cgutils.unpack_tuple(inside, inside.load(stored, align=8))
            context.get_function(function, inner)(inside, (start, stop, *parts))
            context.call_conv.return_value(inside, context.get_dummy_value())
            return builder.ptrtoint(thunk, ir.IntType(64))

        return types.int64(function, arguments), generate

    return lowered


@lowered_by(_address_lowering)
def address(function: Any, arguments: Any) -> int:
    """The address of a function that calls `function` with the arguments that `keep` stored."""
    raise NotImplementedError("tasks run only as compiled code")


def _call_lowering() -> Any:
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def lowered(typing, function, place, start, stop):
        outer = (types.int64,) * 3

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = context.call_conv.get_function_type(types.void, outer)
            target = builder.inttoptr(values[0], kind.as_pointer())
            context.call_conv.call_function(builder, target, types.void, outer, values[1:])
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 4), generate

    return lowered


@lowered_by(_call_lowering)
def call(function: int, place: int, start: int, stop: int) -> None:
    """Calls a function of `bind` by its address, for the arguments at `place` and the items `start` to `stop`."""
    raise NotImplementedError("tasks run only as compiled code")
