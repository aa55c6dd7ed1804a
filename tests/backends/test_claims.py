"""Chunks of work that threads claim: each is computed once, after its part's thread has offered it."""

from __future__ import annotations

from itertools import pairwise
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearshift.backends import host
from gearshift.backends import numba as numba_backend
from gearshift.backends.claims import bounds, claim, nearest, offer
from gearshift.backends.thread_pool import ThreadPool, wait


@given(st.integers(0, 2000), st.integers(1, 5))
def test_chunks_are_all_of_it_in_order(count: int, chunks: int) -> None:
    found = [bounds(count, chunk, chunks) for chunk in range(chunks)]
    assert found[0][0] == 0 and found[-1][1] == count
    assert all(stop == start for (_, stop), (start, _) in pairwise(found))
    assert all(start <= stop for start, stop in found)


@given(st.integers(-100, 300), st.integers(0, 200), st.integers(1, 64))
def test_edges_are_multiples_or_the_end(position: int, count: int, grain: int) -> None:
    edge = nearest(position, count, grain)
    assert 0 <= edge <= count and (edge % grain == 0 or edge == count)
    if 0 <= position < count:
        assert abs(edge - position) <= (grain + 1) // 2
    assert edge <= nearest(position + 1, count, grain)


def work(thread: int, threads: int, chunks: int, rounds: int, flags, ready, done, wrong) -> None:
    """Each thread writes its round, then offers; whoever claims a chunk finds the round, and counts the chunk."""
    for turn in range(1, rounds + 1):
        ready[thread * 16] = turn
        offer(thread, flags)
        for other in range(threads):
            owner = (thread + other) % threads
            chunk = claim(owner, chunks, thread, flags)
            while chunk < chunks:
                wrong[thread] += ready[owner * 16] != turn
                done[owner, chunk] += 1
                chunk = claim(owner, chunks, thread, flags)
        wait(thread, threads, flags)


def compiled_work() -> Any:
    import numba

    used = {text.__name__: numba_backend.compiled(text) for text in (offer, claim, wait)}  # pyright: ignore[reportArgumentType]
    return numba.njit(nogil=True)(FunctionType(work.__code__, {**work.__globals__, **used}, "work"))


def arrays(threads: int, chunks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `work` reads and writes: rounds, claims and errors."""
    return np.zeros(16 * threads, np.int64), np.zeros((threads, chunks), np.int64), np.zeros(threads, np.int64)


@pytest.mark.parametrize(("threads", "chunks"), [(1, 3), (2, 3), (2, 1), (3, 4)])
def test_each_chunk_is_claimed_once_in_each_phase(threads: int, chunks: int) -> None:
    loop, pool, (ready, done, wrong) = compiled_work(), ThreadPool(threads), arrays(threads, chunks)
    loop(0, 1, chunks, 0, pool.flags, ready, done, wrong)
    rounds = 10_000 if threads <= host.cores() else 200
    for _ in range(2):  # the flags of one call do not reach the next
        pool.run(lambda thread: loop(thread, threads, chunks, rounds, pool.flags, ready, done, wrong), threads)
    assert not wrong.any()
    assert (done == 2 * rounds).all()


def test_nobody_waits_for_the_chunks_of_a_thread_that_failed() -> None:
    loop, pool, (ready, done, wrong) = compiled_work(), ThreadPool(2), arrays(2, 3)
    loop(0, 1, 3, 0, pool.flags, ready, done, wrong)

    def half(thread: int) -> None:
        if thread == 1:
            raise ValueError("failed")
        loop(thread, 2, 3, 5, pool.flags, ready, done, wrong)

    with pytest.raises(ValueError, match="failed"):
        pool.run(half, 2)
    assert (done[0] == 5).all() and (done[1] == 0).all()


def test_as_plain_python() -> None:
    ready, done, wrong = arrays(1, 3)
    work(0, 1, 3, 4, ThreadPool(1).flags, ready, done, wrong)
    assert (done == 4).all() and not wrong.any()
