"""The progress bar of a measurement, and what Ctrl-C does to it."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging import INFO
from typing import Any

from ...dl.streams import hears
from .measure.sweep import Budget


@contextmanager
def progress(seconds: float) -> Iterator[Any]:
    """A progress bar on standard error: the current activity, and the used part of the budget."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    start = time.perf_counter()
    with Progress(
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} s"),
        TextColumn("{task.description}"),
        console=Console(file=sys.stderr),
        transient=True,
        refresh_per_second=2,
        disable=not sys.stderr.isatty() or not hears(INFO),
    ) as bar:
        task = bar.add_task("", total=seconds)
        yield lambda text: bar.update(task, description=text, completed=min(seconds, time.perf_counter() - start))


@contextmanager
def interruptible(budget: Budget) -> Iterator[Budget]:
    """Lets Ctrl-C end the measuring between two measurements; pressed twice, it ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield budget
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: Any) -> None:
        if budget.stopped:
            signal.signal(signal.SIGINT, before)
            raise KeyboardInterrupt
        budget.stopped = True

    signal.signal(signal.SIGINT, stop)
    try:
        yield budget
    finally:
        signal.signal(signal.SIGINT, before)
