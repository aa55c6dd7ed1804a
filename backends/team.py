"""Threads of this library, and the one place that decides how many work at what.

A team runs compiled code without Python's lock on every core at once; its threads meet in `wait`, a barrier that
spins. No BLAS is called meanwhile, so no other pool's threads are awake through us. Where another pool of the process
(BLAS, OpenMP) still spins, or another process has the core, the barrier notices that it is kept waiting.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from . import host
from .machine import give_way, load, store

LINE = 16  # int64 from one thread's flags to the next: two cache lines, which processors fetch in pairs
ARRIVED, YIELDS = 0, 1
WORTHWHILE = 1 << 14  # multiplications of a step from which a second thread pays
SPINS = 4096  # looks at a flag, some 10 to 40 µs, before a waiting thread gives way


def wait(thread: int, threads: int, flags: Any) -> None:
    """Returns when every thread of the team has called it as often as this one."""
    if threads == 1:
        return
    own = thread * LINE
    turn = flags[own + ARRIVED] + 1
    store(flags, own + ARRIVED, turn)
    for other in range(threads):
        spins = 0
        while load(flags, other * LINE + ARRIVED) < turn:
            spins += 1
            if spins > SPINS:
                flags[own + YIELDS] += 1
                give_way()


def share(count: int, thread: int, threads: int, grain: int) -> tuple[int, int]:
    """Start and stop of a thread's part of `count` items, in whole grains but for the last."""
    grains = (count + grain - 1) // grain
    return min(count, thread * grains // threads * grain), min(count, (thread + 1) * grains // threads * grain)


class Team:
    """`threads` threads, the caller's among them; the others sleep between calls of `run`."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._busy = threading.Lock()
        self.flags = np.zeros(threads * LINE, dtype=np.int64)
        self._helpers = [_Helper(thread) for thread in range(1, threads)]

    def parts(self, weights: Sequence[int], rows: int) -> int:
        """Into how many parts the layers of a dense chain are divided, for their numbers of weights and a batch's rows.

        A function of shapes alone, since bits depend on it.
        """
        return self.threads if sum(weights) * min(rows, 8) >= WORTHWHILE else 1

    def threads_for(self, parts: int) -> int:
        """Threads that work on so many parts."""
        return min(self.threads, parts)

    def run(self, work: Callable[[int], Any], threads: int) -> None:
        """Calls ``work(thread)`` on `threads` threads at once; returns when all are done."""
        helpers = self._helpers[: threads - 1]
        with self._busy:
            for helper in helpers:
                helper.begin(work)
            try:
                work(0)
            finally:
                for helper in helpers:
                    helper.end()


class _Helper:
    def __init__(self, thread: int) -> None:
        self._number, self._go, self._done = thread, threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._error: BaseException | None = None
        threading.Thread(target=self._serve, name=f"gearshift-{thread}", daemon=True).start()

    def begin(self, work: Callable[[int], Any]) -> None:
        self._work = work
        self._go.release()

    def end(self) -> None:
        self._done.acquire()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _serve(self) -> None:
        while True:
            self._go.acquire()
            try:
                self._work(self._number)
            except BaseException as error:
                self._error = error
            self._done.release()


@cache
def team() -> Team:
    """The process's team: a thread a core."""
    return Team(host.cores())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=team.cache_clear)
