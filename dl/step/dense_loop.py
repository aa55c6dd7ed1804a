"""Compiled loops of a fused MLP and its products, which a second process compiles while this one compiles the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ...backends import Backend, compile_ahead
from ...backends.compile_ahead import Ahead
from ...kernels.counters import COUNTERS
from ...kernels.dense import chain as dense_chain
from ...kernels.dense import engine, row_chain
from ...kernels.dense.engine import Engine
from ...kernels.dense.parts import (
    BlockPart,
    DropoutStreams,
    Integers,
    LayerPlaces,
    Memory,
    Outputs,
    StepFunctions,
    ThreadCall,
    Tools,
)
from .dense_choice import INPUTS, ROWS

RUN, TASK, LAYER, ENGINE = (kind(*[0] * len(kind._fields)) for kind in (ThreadCall, BlockPart, LayerPlaces, Engine))
"""Arguments that only show their types."""
PRODUCTS = 2
FUNCTIONS = {INPUTS: dense_chain.steps, ROWS: row_chain.steps, PRODUCTS: engine.addresses}
"""The loops, by what they divide among the threads, and the products of `vector_engine`, which both call."""
_ahead: dict[tuple[int, str], Ahead] = {}


def loop_of(backend: Backend, divided: int, dtype: str) -> Callable[..., Any]:
    """The compiled loop for parameters of this dtype; if it must be compiled first, another process begins with it."""
    begin_loops(backend, [divided], dtype)
    return backend.compiled(FUNCTIONS[divided])  # pyright: ignore[reportReturnType]


def begin_loops(backend: Backend, several: Iterable[int], dtype: str) -> None:
    """Lets one other process compile the loops and the products, if they are not compiled yet."""
    missing = [
        number
        for number in sorted({*several, PRODUCTS})
        if (number, dtype) not in _ahead
        and compile_ahead.pays(backend.compiled(FUNCTIONS[number]), arguments_of(number, dtype))
    ]
    if missing:
        ahead = Ahead(__name__, compile_loops.__name__, backend.name, dtype, *map(str, missing))
        _ahead.update({(number, dtype): ahead for number in missing})


def wait_until_compiled(number: int, dtype: str) -> None:
    """Waits until the other process, if there is one, has compiled this one of `FUNCTIONS`."""
    if (number, dtype) in _ahead:
        _ahead[number, dtype].wait()


def compile_loops(name: str, dtype: str, *several: str) -> None:
    """Compiles some of `FUNCTIONS` for parameters of this dtype, and keeps them in the cache."""
    from numba import typeof

    from ...backends import registry

    for number in map(int, several):
        function: Any = registry.get(name).compiled(FUNCTIONS[number])
        function.compile(tuple(map(typeof, arguments_of(number, dtype))))


def arguments_of(number: int, dtype: str) -> tuple[Any, ...]:
    """Arguments of the types that a plan calls this one of `FUNCTIONS` with."""
    real, matrix, whole = np.zeros(0, dtype), np.zeros((0, 0), dtype), np.zeros(0, np.int64)
    short = np.zeros(0, np.int16)
    memory, tools = Memory(real, real), Tools(real, 0, 0, np.zeros(0, np.int32))
    integers = Integers(short, 0, short, real, real)
    if number == PRODUCTS:
        return tools, memory, integers, TASK, LAYER
    return (
        RUN,
        np.zeros((0, 0) if number == INPUTS else (0, 0, 0), np.int64),
        memory,
        Outputs(matrix, matrix, matrix),
        np.zeros(COUNTERS, np.int64),
        np.zeros(0),
        StepFunctions(*[0] * len(StepFunctions._fields)),
        DropoutStreams(np.zeros(2, np.uint32), whole, whole, real),
        tools,
        ENGINE,
        integers,
        whole,
    )
