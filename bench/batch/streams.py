"""Passes over memory without arithmetic to speak of: what the memory rate is measured with.

As loops that backends compile, and in array code for backends that do not. Words are int64, so that sums may be
taken in any order, and vector units take them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backends import Backend
from ...backends.team import Team, wait

KINDS = ("read", "write", "update")


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


LOOPS = {"read": read, "write": write, "update": update}


def stream(backend: Backend, kind: str, words: int, team: Team | None = None) -> Callable[[int], None]:
    """A call that makes so many passes over `words` words; with a team, each thread over a part of them."""
    loop = backend.compiled(LOOPS[kind])
    if loop is None:
        x = backend.zeros(words, np.int64)
        return lambda count: _passes(backend.xp, kind, count, x)
    if team is None:
        x = backend.zeros(words, np.int64)
        return lambda count: loop(count, x)
    parts = [backend.zeros(-(-words // team.threads), np.int64) for _ in range(team.threads)]
    return lambda count: team.run(lambda thread: loop(count, parts[thread]), team.threads)


def _passes(xp: Any, kind: str, count: int, x: Any) -> None:
    for turn in range(count):
        if kind == "read":
            xp.max(x)
        elif kind == "write":
            x.fill(turn)
        else:
            xp.add(x, turn, out=x)
