"""Opens files named by users: only regular files, up to a maximum size."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from ...backends.errors import UserError

TEXT = 1 << 20  # maximum bytes of a configuration
MEASUREMENTS = 64 << 20  # maximum bytes of a file of measurements


class UnreadableFile(UserError, OSError):
    """A path named by the user is not a regular file, or the file is too large."""


def opened(path: str | os.PathLike[str], most: int | None = None) -> BufferedReader:
    """Open a regular file of at most `most` bytes for reading; devices and named pipes are refused without waiting.

    Raises
    ------
    OSError
        The file does not exist or cannot be read.
    UnreadableFile
        It is not a regular file, or it is larger.
    """
    name = os.fspath(path)
    try:
        file = open(name, "rb", opener=_without_waiting)  # noqa: SIM115
    except ValueError:  # a NUL or a lone surrogate
        raise UnreadableFile(errno.EINVAL, "no file can have this name", name) from None
    status, fault = os.fstat(file.fileno()), None
    if not stat.S_ISREG(status.st_mode):
        fault = UnreadableFile(errno.EINVAL, "not a regular file", name)
    elif most is not None and status.st_size > most:
        fault = UnreadableFile(errno.EFBIG, f"it has {status.st_size:,} bytes, at most {most:,} are read", name)
    if fault is not None:
        file.close()
        raise fault
    return file


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # else opening a named pipe waits for its writer


def read_bytes(path: str | os.PathLike[str], most: int) -> bytes:
    """The content of a regular file of at most `most` bytes, even if the file grows meanwhile.

    Raises
    ------
    OSError, UnreadableFile
        As with `opened`.
    """
    with opened(path, most) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise UnreadableFile(errno.EFBIG, f"it has more than {most:,} bytes", os.fspath(path))
    return content


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with ``~`` expanded; unchanged if the user does not exist."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
