"""Standard output and standard error of a command whose reader may go away, or that has none."""

from __future__ import annotations

import io
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

_level = logging.INFO


def hear(level: int) -> None:
    """Sets the least level of what is said from here on, one of `logging`'s; of the library's log, too."""
    global _level
    _level = level
    logging.getLogger(__name__.partition(".")[0]).setLevel(level)


def hears(level: int) -> bool:
    """Whether what has this level is said."""
    return level >= _level


def say(text: str, level: int = logging.INFO) -> None:
    """A line for people, on standard error. That nobody can read it is no reason to stop what it tells of."""
    if not hears(level):
        return
    with suppress(OSError, ValueError):  # a broken pipe, a full disk, a closed stream
        if sys.stderr is not None:
            print(text, file=sys.stderr, flush=True)


def prepare(silent: bool = False) -> None:
    """Keeps the process's own streams from ending it; a stream that is another, as in a test, is left alone.

    A closed descriptor becomes the null device, so that no file is opened in its place. What is written to a pipe
    that nobody reads any more is dropped, and so is all that standard error cannot take; but a result that standard
    output cannot take, as on a full disk, is an error. Letters that an encoding lacks become question marks. A
    `silent` process says nothing at all.
    """
    if silent:
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  until the process ends
        return
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free, so this one
    sys.stdout, sys.stderr = _lossy(sys.stdout, 1, BrokenPipeError), _lossy(sys.stderr, 2, OSError)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def finish() -> None:
    """Writes what standard output still holds; raises OSError where it cannot."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
        if isinstance(raw, _Lossy):
            raw.ignored = OSError  # said once, not again by Python as it ends
        raise


class _Lossy(io.FileIO):
    """A descriptor of which some errors in writing are passed over."""

    def __init__(self, descriptor: int, name: str, ignored: type[OSError]) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._name, self.ignored = name, ignored

    def write(self, data: Any, /) -> int:
        try:
            written = super().write(data)
        except OSError as error:
            if not isinstance(error, self.ignored):
                raise OSError(error.errno, error.strerror, self._name) from None
            written = None
        return memoryview(data).nbytes if written is None else written  # None: a pipe that is full and does not wait


def _lossy(stream: TextIO | None, descriptor: int, ignored: type[OSError]) -> TextIO:
    name = "standard output" if descriptor == 1 else "standard error"
    if stream is None:
        raw = _Lossy(descriptor, name, ignored)
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", line_buffering=True)
    buffer = getattr(stream, "buffer", None)
    if type(stream) is not io.TextIOWrapper or isinstance(getattr(buffer, "raw", None), _Lossy):
        return stream
    if stream.fileno() != descriptor:
        return stream
    with suppress(OSError):
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Lossy(descriptor, name, ignored)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
