"""The compiled loops of a fused MLP; a second process compiles them while this one compiles what they call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ...backends import Backend, compile_ahead
from ...backends.compile_ahead import Ahead
from ...kernels.counters import COUNTERS
from ...kernels.dense import chain as dense_chain
from ...kernels.dense import row_chain
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

RUN, TASK, LAYER = (kind(*[0] * len(kind._fields)) for kind in (ThreadCall, BlockPart, LayerPlaces))
"""Arguments that only show their types."""
LOOPS = {INPUTS: dense_chain.steps, ROWS: row_chain.steps}
"""The loops, by what they divide among the threads."""
_ahead: dict[tuple[int, str], Ahead] = {}


def loop_of(backend: Backend, divided: int, dtype: str) -> Callable[..., Any]:
    """The compiled loop for parameters of this dtype; if it must be compiled first, another process begins with it."""
    begin_loops(backend, [divided], dtype)
    return backend.compiled(LOOPS[divided])  # pyright: ignore[reportReturnType]


def begin_loops(backend: Backend, several: Iterable[int], dtype: str) -> None:
    """Lets one other process compile the loops that are not compiled yet: most of what they call, they share."""
    missing = [
        divided
        for divided in sorted(set(several))
        if (divided, dtype) not in _ahead
        and compile_ahead.pays(backend.compiled(LOOPS[divided]), arguments_of(divided, dtype))
    ]
    if missing:
        ahead = Ahead(__name__, compile_loops.__name__, backend.name, dtype, *map(str, missing))
        _ahead.update({(divided, dtype): ahead for divided in missing})


def wait_for_loop(divided: int, dtype: str) -> None:
    """Waits until the other process, if there is one, has compiled the loop."""
    if (divided, dtype) in _ahead:
        _ahead[divided, dtype].wait()


def compile_loops(name: str, dtype: str, *several: str) -> None:
    """Compiles loops for parameters of this dtype, and keeps them in the cache."""
    from numba import typeof

    from ...backends import registry

    for divided in map(int, several):
        loop: Any = registry.get(name).compiled(LOOPS[divided])
        loop.compile(tuple(map(typeof, arguments_of(divided, dtype))))


def arguments_of(divided: int, dtype: str) -> tuple[Any, ...]:
    """Arguments of the types that a plan calls the loop with."""
    real, matrix, whole = np.zeros(0, dtype), np.zeros((0, 0), dtype), np.zeros(0, np.int64)
    short = np.zeros(0, np.int16)
    return (
        RUN,
        np.zeros((0, 0) if divided == INPUTS else (0, 0, 0), np.int64),
        Memory(real, real),
        Outputs(matrix, matrix, matrix),
        np.zeros(COUNTERS, np.int64),
        np.zeros(0),
        StepFunctions(*[0] * len(StepFunctions._fields)),
        DropoutStreams(np.zeros(2, np.uint32), whole, whole, real),
        Tools(real, 0, 0, np.zeros(0, np.int32)),
        Engine(*[0] * len(Engine._fields)),
        Integers(short, 0, short, real, real),
        whole,
    )
