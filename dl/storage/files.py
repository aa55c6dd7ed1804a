"""Opening the files that users name: regular files alone, and no larger than what is meant to be read."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from ...backends.errors import UserError

TEXT = 1 << 20  # bytes of a configuration
MEASUREMENTS = 64 << 20  # bytes of a file of measurements


class UnreadableFile(UserError, OSError):
    """What a user has named is no regular file, or a larger one than is meant to be read."""


def opened(path: str | os.PathLike[str], most: int | None = None) -> BufferedReader:
    """Open a regular file of at most `most` bytes for reading; a device or a named pipe is never waited for.

    Raises
    ------
    OSError
        There is no such file, or it cannot be read.
    UnreadableFile
        It is not a regular file, or it is larger.
    """
    name = os.fspath(path)
    try:
        file = open(name, "rb", opener=_without_waiting)  # noqa: SIM115
    except ValueError:  # a NUL, or half a character
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
    """The content of a regular file of at most `most` bytes, also where the file grows meanwhile.

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
    """The path with ``~`` replaced; of a user who does not exist it stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def physical_memory() -> int:
    """Physical memory in bytes; 2⁶² where the system does not say (Windows)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 62
