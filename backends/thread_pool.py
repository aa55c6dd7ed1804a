"""The library's thread pool, which decides how many threads work on a step.

The pool runs compiled code on all cores at once, without Python's GIL; its threads synchronize in `wait`, a spinning
barrier. The code does not call BLAS, so it does not wake other thread pools. If another pool of the process (BLAS,
OpenMP) still spins, or another process occupies a core, the barrier detects the delay.
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

LINE = 32  # int64 of a thread's flags: two pairs of cache lines, because CPUs fetch lines in pairs; see also `claims`
ARRIVED = 0
NEVER_LATE = 1 << 60
WORTHWHILE = 1 << 14  # multiplications per step from which a second thread is faster
SPINS = 4096  # polls of a flag (some 10 to 40 µs) before a waiting thread yields

NOTICEABLE = 0.005  # seconds: shorter calls are too short to detect other programs
STALLED = 0.3  # a call is stalled if a thread had no CPU for more than this share of it
PATIENCE = 2  # consecutive stalled calls before the pool uses only one thread
ALONE = 1.0  # seconds until it tries all threads again


def wait(thread: int, threads: int, flags: Any) -> None:
    """A barrier: returns when every thread of the pool has called it as often as this one."""
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
    """Start and stop of a thread's part of `count` items, in multiples of `grain` except for the last."""
    grains = (count + grain - 1) // grain
    return min(count, thread * grains // threads * grain), min(count, (thread + 1) * grains // threads * grain)


def max_share(count: int, threads: int, grain: int) -> int:
    """The largest number of items that `share` gives to a thread."""
    return max(stop - start for start, stop in (share(count, thread, threads, grain) for thread in range(threads)))


class ThreadPool:
    """A pool of `threads` threads, including the calling one; the others sleep between calls of `run`.

    If another thread pool or process occupies the cores, threads at a barrier wait for each other for whole scheduler
    ticks. Then one thread does all the work for a while; the results are bit-identical.

    Attributes
    ----------
    stalls : number of calls of `run` in which a thread had no CPU for more than `STALLED` of the time.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.stalls, self._told = 0, False
        self._busy, self._stalled, self._alone_until = threading.Lock(), 0, 0.0
        self.flags = np.zeros(threads * LINE, dtype=np.int64)
        self._helpers = [_Helper(thread) for thread in range(1, threads)]

    def parts(self, weights: Sequence[int], rows: int) -> int:
        """Number of parts into which the layers of a fused MLP are divided, given their weights and the batch size.

        It depends only on shapes, because the bits of the results depend on it.
        """
        return self.threads if sum(weights) * min(rows, 8) >= WORTHWHILE else 1

    def threads_for(self, parts: int) -> int:
        """Number of threads to use now for this number of parts."""
        return 1 if time.monotonic() < self._alone_until else min(self.threads, parts)

    def run(self, work: Callable[[int], Any], threads: int) -> None:
        """Calls ``work(thread)`` on `threads` threads at once; returns when all are done."""
        helpers, kept = self._helpers[: threads - 1], [0.0] * threads

        def timed(thread: int) -> None:
            start, used = time.perf_counter(), time.thread_time()
            try:
                work(thread)
            except BaseException:
                self.flags[thread * LINE + ARRIVED] = NEVER_LATE  # releases threads that wait for this one
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
        """Records the share of a call in which a thread had no CPU."""
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
def thread_pool() -> ThreadPool:
    """The process's thread pool: one thread per core, or GEARSHIFT_THREADS threads if that is fewer."""
    return ThreadPool(host.threads())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=thread_pool.cache_clear)
