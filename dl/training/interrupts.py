"""Ctrl-C while a step runs, and while one is made ready."""

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

    Outside the main thread, which alone hears of signals, and where another language handles them, it changes nothing.
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
    """Raises KeyboardInterrupt at the end where Ctrl-C raised one inside that came to nothing.

    Python prints, and drops, what is raised in a destructor, a weak reference's callback (imports have them) or one
    of ctypes (LLVM calls them while it compiles). It changes nothing where Ctrl-C means something else.
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
    """Whether this is IPython, where an interrupted training hands back its history."""
    return hasattr(builtins, "__IPYTHON__")
