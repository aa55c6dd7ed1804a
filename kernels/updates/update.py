"""The common arguments of all optimizer updates.

An update is one pass over the arena. Its arrays are the parameters p and gradients g, the optimizer's
states (each as p, or empty where unused), then

- ``bounds`` int64 (ranges, 2): start and stop of each range of the arena,
- ``factors`` (ranges, 2): its learning-rate factor and its weight decay,
- ``table`` (steps, columns): the step's constants, computed on the host in float64, one row per step,
- ``counters`` int64 (COUNTERS,): which row to read, and whether updates are off,
- ``clip`` (1,): what the gradient is multiplied with, 1 without clipping.

`with_copy` adds a last one, ``copy`` (n,): the parameters in fewer bits, written in the same pass.

Where a loop's gradient is ``plain``, neither clipped nor with decay, the compiler makes a second loop without both.

Constants arrive rounded to the parameters' dtype: a float64 among them would turn float32 loops into
float64 ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from ..counters import FAILED, ROW, SKIP
from ..operation import Cuda, Launch, Operation

SHARED = 7
"""Arrays of an update that are not states: p and g before them, and five behind."""


def constants(table: Any, counters: Any) -> list[float]:
    """The row of the table of constants for this step."""
    row = int(counters[ROW])
    return [float(table[row, column]) for column in range(table.shape[1])]


def ranges(bounds: Any, factors: Any, counters: Any) -> Iterator[tuple[slice, float, float]]:
    """Each range as a slice with its rate factor and decay; none if updates are off."""
    if int(counters[FAILED]) >= 0 or int(counters[SKIP]):
        return
    for r in range(bounds.shape[0]):
        yield slice(int(bounds[r, 0]), int(bounds[r, 1])), float(factors[r, 0]), float(factors[r, 1])


def update_operation(
    name: str, reference: Any, loop: Any = None, flops_per_parameter: int = 0, cuda: Cuda | None = None
) -> Operation:
    """Creates an update operation whose items are the elements of the arena.

    It reads p, g and the states, and writes p and the states in place. Elements are independent, so a loop may run on
    a slice of them.
    """

    def traffic(p: Any, g: Any, *others: Any) -> tuple[int, int]:
        kept = p.nbytes + sum(slot.nbytes for slot in others[:-5])
        return kept + g.nbytes, kept

    return Operation(
        name,
        reference,
        loop,
        lambda *arrays: arrays[0].size,
        flops=lambda p, *_, **__: flops_per_parameter * p.size,
        traffic=traffic,
        cuda=cuda and replace(cuda, types={"REAL": 0, "COPY": 0}),
        role="update",
        sliced=loop is not None,
    )


@cache
def with_copy(update: Operation) -> Operation:
    """The update that also writes the parameters, rounded, to a last array (n,) of another dtype."""
    assert update.traffic is not None
    plain, moved = update.cuda, update.traffic

    def reference(xp: Any, *arrays: Any, **attributes: Any) -> None:
        update.reference(xp, *arrays[:-1], **attributes)
        p, bounds, copy = arrays[0], arrays[-6], arrays[-1]
        for r in range(bounds.shape[0]):
            part = slice(int(bounds[r, 0]), int(bounds[r, 1]))
            copy[part] = p[part]

    def launch(*arrays: Any, **attributes: Any) -> Launch:
        assert plain is not None
        launch = plain.launch(*arrays[:-1], **attributes)
        place = len(arrays) - 1
        arguments = (*launch.arguments[:place], arrays[-1], *launch.arguments[place + 1 :])
        return replace(launch, arguments=arguments)

    def traffic(*arrays: Any) -> tuple[int, int]:
        read, written = moved(*arrays[:-1])
        return read, written + arrays[-1].nbytes

    return Operation(
        f"{update.name}_with_copy",
        reference,
        cuda=plain and replace(plain, launch=launch, types={"REAL": 0, "COPY": -1}),
        flops=update.flops,
        traffic=traffic,
        role="update",
    )
