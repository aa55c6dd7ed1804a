"""Ctrl-C while a step runs, and while one is prepared."""

from __future__ import annotations

import builtins
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interrupts(stop: Callable[[str], None]) -> Iterator[None]:
    """Turns Ctrl-C into ``stop("interrupt")``, because an interrupt inside a step would leave it incomplete.

    It has no effect outside the main thread, or if SIGINT is handled outside Python.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, frame: Any) -> None:
        stop("interrupt")

    signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def unswallowed() -> Iterator[None]:
    """Raises KeyboardInterrupt at the end if Ctrl-C was pressed inside and the exception was lost.

    Python prints and drops exceptions in destructors, in callbacks of weak references (used by imports) and in ctypes
    callbacks (used by LLVM while compiling). It has no effect if SIGINT has another handler.
    """
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not own or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = False

    def heard(number: int, frame: Any) -> None:
        nonlocal pressed
        pressed = True
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt


def in_notebook() -> bool:
    """Whether this is IPython, where an interrupted training returns its history."""
    return hasattr(builtins, "__IPYTHON__")
