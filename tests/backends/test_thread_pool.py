"""Threads: their barrier, their shares, and what happens where others hold the processor."""

from __future__ import annotations

import os
import threading
import time
from itertools import pairwise
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gearshift as gs
from gearshift.backends import host, machine
from gearshift.backends import numba as numba_backend
from gearshift.backends import thread_pool as module
from gearshift.backends.machine import load
from gearshift.backends.thread_pool import ThreadPool, share, wait


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 9), st.integers(1, 32))
def test_shares_are_all_of_it_in_order(count: int, threads: int, grain: int) -> None:
    parts = [share(count, thread, threads, grain) for thread in range(threads)]
    assert parts[0][0] == 0 and parts[-1][1] == count
    assert all(stop == start for (_, stop), (start, _) in pairwise(parts))
    assert all(start <= stop and (start % grain == 0 or start == count) for start, stop in parts)


def meet(thread: int, threads: int, rounds: int, flags, seen, wrong) -> None:
    """Each thread writes its round, and after the barrier finds everybody's."""
    for turn in range(rounds):
        seen[thread * 16] = turn
        wait(thread, threads, flags)
        for other in range(threads):
            if seen[other * 16] != turn:
                wrong[thread] += 1
        wait(thread, threads, flags)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_after_the_barrier_every_write_is_seen(threads: int) -> None:
    import numba

    compiled = numba_backend.compiled(wait)
    text = FunctionType(meet.__code__, {**meet.__globals__, "wait": compiled}, "meet")
    loop = numba.njit(nogil=True)(text)
    pool, seen, wrong = ThreadPool(threads), np.zeros(16 * threads, np.int64), np.zeros(threads, np.int64)
    loop(0, 1, 1, pool.flags, seen, wrong)
    wrong[:] = 0
    rounds = 20_000 if threads <= host.cores() else 200
    pool.run(lambda thread: loop(thread, threads, rounds, pool.flags, seen, wrong), threads)
    assert not wrong.any()


def test_an_error_in_a_thread_reaches_the_caller_and_the_team_goes_on() -> None:
    pool, ran = ThreadPool(2), []

    def work(thread: int) -> None:
        if thread == 1:
            raise ValueError("in thread 1")

    with pytest.raises(ValueError, match="in thread 1"):
        pool.run(work, 2)
    pool.run(ran.append, 2)
    assert sorted(ran) == [0, 1]


@pytest.mark.parametrize("failing", [0, 1])
def test_nobody_waits_for_a_thread_that_failed(failing: int) -> None:
    compiled: Any = numba_backend.compiled(wait)  # pyright: ignore[reportArgumentType]
    pool = ThreadPool(2)
    compiled(0, 1, pool.flags)

    def work(thread: int) -> None:
        if thread == failing:
            raise ValueError("failed")
        for _ in range(3):
            compiled(thread, 2, pool.flags)

    for _ in range(2):
        with pytest.raises(ValueError, match="failed"):
            pool.run(work, 2)
    pool.run(lambda thread: compiled(thread, 2, pool.flags), 2)


def test_two_spinning_pools_are_noticed_and_one_thread_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    import numba

    look: Any = machine.intrinsic(load)  # pyright: ignore[reportArgumentType]

    @numba.njit(nogil=True)
    def spin(flag):
        while look(flag, 0) == 0:
            pass

    pool, stop, done = ThreadPool(2), np.zeros(1, np.int64), np.ones(1, np.int64)
    spin(done)
    busy = numba.njit(nogil=True)(lambda: np.sum(np.ones(200_000)))
    busy()

    def work(thread: int) -> None:
        until = time.thread_time() + 0.1  # of this thread's own time
        while time.thread_time() < until:
            busy()

    others = [threading.Thread(target=spin, args=(stop,)) for _ in range(2 * host.cores())]
    for other in others:
        other.start()
    try:
        with caplog.at_level("INFO", logger="gearshift"):
            for _ in range(module.PATIENCE + 2):
                pool.run(work, pool.threads_for(2))
    finally:
        stop[0] = 1
        for other in others:
            other.join()
    assert pool.stalls >= module.PATIENCE
    assert "training on one thread" in caplog.text
    pool._alone_until = 0.0
    assert pool.threads_for(2) == 2


def test_the_number_of_threads_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(host.THREADS, "1")
    assert host.threads() == 1
    monkeypatch.setenv(host.THREADS, "4096")
    assert host.threads() == host.cores()
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert host.threads() == host.cores()
    monkeypatch.delenv(host.THREADS)
    assert host.threads() == 1
    monkeypatch.setenv(host.THREADS, "many")
    with pytest.raises(gs.ConfigurationError, match="GEARSHIFT_THREADS is 'many'; expected an integer"):
        host.threads()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_threads_of_its_own() -> None:
    before = module.thread_pool()
    before.run(lambda thread: None, before.threads)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        ran: list[int] = []
        own = module.thread_pool()
        own.run(ran.append, own.threads)
        os.write(write, b"y" if own is not before and len(ran) == own.threads else b"n")
        os._exit(0)
    assert os.read(read, 1) == b"y"
    assert os.waitpid(child, 0)[1] == 0
