"""How long this process has prepared kernels (compiled, loaded, bound them), so that speeds can leave it out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_seconds, _depth, _start = 0.0, 0, 0.0


def spent() -> float:
    """Seconds up to the last compilation that has ended; differences of two calls count."""
    return _seconds


def begin() -> None:
    """Starts the clock; calls may be nested, and only the outermost counts."""
    global _depth, _start
    if not _depth:
        _start = time.perf_counter()
    _depth += 1


def end() -> None:
    """Stops the clock."""
    global _depth, _seconds
    _depth -= 1
    if not _depth:
        _seconds += time.perf_counter() - _start


@contextmanager
def counted() -> Iterator[None]:
    """Counts the time of what is inside."""
    begin()
    try:
        yield
    finally:
        end()
