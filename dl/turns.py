"""A lock for what several threads may ask of one trainer at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock, get_ident
from typing import Any


class Turns:
    """A lock that its holder may take again, and that a thread which takes it over and over leaves to others between.

    A waiting thread queues at `_next`; so does one that has just released the lock, which then cannot be faster.
    A copy, and a forked process, begin with a lock that is free.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._next, self._lock = Lock(), Lock()
        self._holder, self._depth = 0, 0

    def __enter__(self) -> Turns:
        if self._process != os.getpid():  # whoever held the lock is not in this process
            self._begin()
        if self._holder != get_ident():
            with self._next:
                self._lock.acquire()
            self._holder = get_ident()
        self._depth += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._holder = 0
            self._lock.release()

    def __reduce__(self) -> tuple[type[Turns], tuple[()]]:
        return Turns, ()


@contextmanager
def at_rest(parameters: Iterable[Any]) -> Iterator[None]:
    """Within it no other thread trains these parameters: what is read of them belongs to one step."""
    held = {id(turns): turns for p in parameters if (turns := getattr(p.owner, "turns", None)) is not None}
    with ExitStack() as stack:
        for _, turns in sorted(held.items()):
            stack.enter_context(turns)
        yield
