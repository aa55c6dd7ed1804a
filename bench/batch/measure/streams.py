"""Passes over memory with almost no arithmetic, to measure the memory rate.

They are compiled loops, kernels if these can be captured, or else array code. Words are int64, so that sums can be
vectorised in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ....backends import Backend
from ....backends.thread_pool import ThreadPool, wait
from ....dl.step.plan import repeat
from ....kernels.launch import each_element
from ....kernels.operation import Cuda, Operation

KINDS = ("read", "write", "update")
TOGETHER = 16  # kernels in a graph: launched one by one, small passes would wait for the host


def read(count: int, x: Any) -> int:
    """`count` passes that read x."""
    total = 0
    for turn in range(count):
        for i in range(x.shape[0]):
            total += x[i] ^ turn
    return total


def write(count: int, x: Any) -> int:
    """`count` passes that write x."""
    for turn in range(count):
        for i in range(x.shape[0]):
            x[i] = turn
    return 0


def update(count: int, x: Any) -> int:
    """`count` passes that change x in place."""
    for turn in range(count):
        for i in range(x.shape[0]):
            x[i] += turn
    return 0


def meet(thread: int, threads: int, count: int, flags: Any) -> None:
    """`count` times, the threads wait for each other."""
    for _ in range(count):
        wait(thread, threads, flags)


def read_array(xp: Any, x: Any) -> None:
    """Reads x."""
    xp.max(x)


def write_array(xp: Any, x: Any) -> None:
    """Writes x."""
    x.fill(1)


def update_array(xp: Any, x: Any) -> None:
    """Changes x in place."""
    xp.add(x, 1, out=x)


LOOPS = {"read": read, "write": write, "update": update}
PASSES = {
    kind: Operation(f"{kind}_pass", reference, cuda=Cuda("passes.cu", f"{kind}_pass", each_element))
    for kind, reference in zip(KINDS, (read_array, write_array, update_array), strict=True)
}


def stream(
    backend: Backend, kind: str, words: int, pool: ThreadPool | None = None
) -> tuple[Callable[[int], None], int]:
    """A callable that repeats passes over `words` words, divided between the threads of a pool.

    Also returns the number of passes per repetition.
    """
    loop = backend.compiled(LOOPS[kind])
    if pool is not None and loop is not None:
        parts = [backend.zeros(-(-words // pool.threads), np.int64) for _ in range(pool.threads)]
        return lambda count: pool.run(lambda thread: loop(count, parts[thread]), pool.threads), 1
    x = backend.zeros(words, np.int64)
    if loop is not None:
        return lambda count: loop(count, x), 1
    one = backend.bind(PASSES[kind], [x], {})
    if backend.obstacle(PASSES[kind]):
        return partial(repeat, one), 1
    one()  # what is loaded at first need is loaded before the capture
    return partial(repeat, backend.capture(partial(repeat, one, TOGETHER))), TOGETHER
