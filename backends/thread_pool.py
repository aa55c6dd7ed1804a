"""Threads of this library, and the one place that decides how many work at what.

A team runs compiled code without Python's lock on every core at once; its threads meet in `wait`, a barrier that
spins. No BLAS is called meanwhile, so no other pool's threads are awake through us. Where another pool of the process
(BLAS, OpenMP) still spins, or another process has the core, the barrier notices that it is kept waiting.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from . import host
from .machine import give_way, load, store

logger = logging.getLogger(__name__)

LINE = 16  # int64 from one thread's flags to the next: two cache lines, which processors fetch in pairs
ARRIVED = 0
NEVER_LATE = 1 << 60
WORTHWHILE = 1 << 14  # multiplications of a step from which a second thread pays
SPINS = 4096  # looks at a flag, some 10 to 40 µs, before a waiting thread gives way

NOTICEABLE = 0.005  # seconds: a shorter call says little of who else has the processor
STALLED = 0.3  # share of a call in which a thread did not have its processor, from which the call counts as a stall
PATIENCE = 2  # such calls on end before the team makes do with one thread
ALONE = 1.0  # seconds until it tries again


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
                give_way()


def share(count: int, thread: int, threads: int, grain: int) -> tuple[int, int]:
    """Start and stop of a thread's part of `count` items, in whole grains but for the last."""
    grains = (count + grain - 1) // grain
    return min(count, thread * grains // threads * grain), min(count, (thread + 1) * grains // threads * grain)


class Team:
    """`threads` threads, the caller's among them; the others sleep between calls of `run`.

    Where another pool of this process or another process has the cores, threads that meet at a barrier wait for each
    other in multiples of the scheduler's tick. Then one thread does all the work for a while: the bits are the same.

    Attributes
    ----------
    stalls : calls of `run` in which a thread was kept from its processor for more than `STALLED` of the time.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.stalls, self._told = 0, False
        self._busy, self._stalled, self._alone_until = threading.Lock(), 0, 0.0
        self.flags = np.zeros(threads * LINE, dtype=np.int64)
        self._helpers = [_Helper(thread) for thread in range(1, threads)]

    def parts(self, weights: Sequence[int], rows: int) -> int:
        """Into how many parts the layers of a fused MLP are divided, for their numbers of weights and a batch's rows.

        A function of shapes alone, since bits depend on it.
        """
        return self.threads if sum(weights) * min(rows, 8) >= WORTHWHILE else 1

    def threads_for(self, parts: int) -> int:
        """Threads that work on so many parts now."""
        return 1 if time.monotonic() < self._alone_until else min(self.threads, parts)

    def run(self, work: Callable[[int], Any], threads: int) -> None:
        """Calls ``work(thread)`` on `threads` threads at once; returns when all are done."""
        helpers, kept = self._helpers[: threads - 1], [0.0] * threads

        def timed(thread: int) -> None:
            start, used = time.perf_counter(), time.thread_time()
            try:
                work(thread)
            except BaseException:
                self.flags[thread * LINE + ARRIVED] = NEVER_LATE  # whoever waits for this thread goes on to the end
                raise
            seconds = time.perf_counter() - start
            if seconds > NOTICEABLE:
                kept[thread] = 1 - (time.thread_time() - used) / seconds

        with self._busy:
            for helper in helpers:
                helper.begin(timed)
            try:
                timed(0)
            finally:
                for helper in helpers:
                    helper.join()
                self.flags[:] = 0
        for helper in helpers:
            helper.check()
        if threads > 1:
            self._note(max(kept))

    def _note(self, kept: float) -> None:
        """Takes note of the share of a call in which a thread was kept from its processor."""
        if kept <= STALLED:
            self._stalled = 0
            return
        self.stalls += 1
        self._stalled += 1
        if self._stalled >= PATIENCE:
            self._alone_until, self._stalled = time.monotonic() + ALONE, 0
            if not self._told:
                logger.info("the CPU is busy with other programs; training on one thread for now")
            self._told = True


class _Helper:
    def __init__(self, thread: int) -> None:
        self._number, self._go, self._done = thread, threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._error: BaseException | None = None
        threading.Thread(target=self._serve, name=f"gearshift-{thread}", daemon=True).start()

    def begin(self, work: Callable[[int], Any]) -> None:
        self._work, self._error = work, None
        self._go.release()

    def join(self) -> None:
        self._done.acquire()

    def check(self) -> None:
        if self._error is not None:
            raise self._error

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
    """The process's team: a thread a core, or as many as GEARSHIFT_THREADS says, at most a thread a core."""
    return Team(host.threads())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=team.cache_clear)
