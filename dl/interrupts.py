"""Ctrl-C while a step runs."""

from __future__ import annotations

import builtins
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interrupts(stop: Callable[[str], None]) -> Iterator[None]:
    """Turns Ctrl-C, however often, into ``stop("interrupt")``: an interrupt inside a step would leave it half done.

    Outside the main thread, which alone hears of signals, it changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def heard(number: int, frame: Any) -> None:
        stop("interrupt")

    signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def in_notebook() -> bool:
    """Whether this is IPython, where an interrupted training hands back its history."""
    return hasattr(builtins, "__IPYTHON__")
