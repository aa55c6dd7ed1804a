"""Atomic file writes: even after a crash, a file holds either the old or the new content."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

Bytes = bytes | bytearray | memoryview

# Some file systems cannot open or sync a directory; they order a rename by themselves, or nobody can.
_NO_DIRECTORY_SYNC = {errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP}


def write_atomically(path: Path | str, data: Bytes | Iterable[Bytes]) -> None:
    """Write `data` to `path`, whole or not at all.

    The bytes go to a temporary beside the target, which is synced and renamed over it; then the directory is synced.
    A target has one writer at a time. A symbolic link to a file is replaced, not followed.

    Only regular files are replaced. Devices and pipes are written to directly, and ``/dev/stdout`` through its open
    descriptor; these writes are not atomic.

    Parameters
    ----------
    path : path
        The target; its directory exists.
    data : bytes-like, or an iterable of bytes-like
        The content, or its parts in order.

    Raises
    ------
    OSError
        A step failed (full disk, no permission, …). The error names the target and the step. The temporary is gone;
        the old target is untouched unless the step was the syncing of the directory.
    """
    target = Path(path)
    parts: Any = [data] if isinstance(data, Bytes) else data
    if not replaceable(target):
        _write_into(target, parts)
        return
    _remove_leftovers(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    step = "creating a temporary file beside it"
    try:
        with temporary.open("xb") as file:
            step = "writing"
            for part in parts:
                file.write(part)
            file.flush()
            step = "syncing"
            os.fsync(file.fileno())
        step = "renaming"
        temporary.replace(target)
    except OSError as error:
        _discard(temporary)
        what = f"{step} failed; a file that was there is unchanged"
        raise _failure(error, target, what if target.parent.exists() else "there is no such folder") from error
    except BaseException:  # also an interrupt
        _discard(temporary)
        raise
    try:
        _sync_directory(target.parent)
    except OSError as error:
        raise _failure(error, target, "written, but syncing its directory failed") from error


def replaceable(target: Path) -> bool:
    """Whether a new file may take the place of what `target` names: nothing, a regular file, or a link to one."""
    try:
        mode = target.stat().st_mode
    except OSError:  # it does not exist, or is a dangling link
        return _descriptor(target) is None
    # a directory is refused when it is replaced
    return (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and _descriptor(target) is None


def _descriptor(target: Path) -> int | None:
    """The open file of this process that `target` stands for, as ``/dev/stdout`` does."""
    own = {os.path.realpath(folder) for folder in ("/dev/fd", "/proc/self/fd", "/proc/thread-self/fd")}
    for _ in range(40):  # as many links as Linux follows
        folder = os.path.realpath(target.parent)
        if folder in own and target.name.isdecimal():
            return int(target.name)
        if not target.is_symlink():
            return None
        target = Path(folder, target.readlink())
    return None


def _write_into(target: Path, parts: Iterable[Bytes]) -> None:
    descriptor = _descriptor(target)
    for stream in (sys.stdout, sys.stderr):  # what was printed before comes first
        with suppress(OSError, ValueError, AttributeError):  # closed, or none
            stream.flush()
    try:
        opened = os.dup(descriptor) if descriptor is not None else os.open(target, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(opened, "wb") as file:
            for part in parts:
                file.write(part)
    except OSError as error:
        raise _failure(error, target, "writing into it failed") from error


def _remove_leftovers(target: Path) -> None:
    # Every match is what a killed writer left behind: a target has one writer at a time (a run directory is locked
    # by its own), so no living one can own it. The exact pattern spares the temporaries of `target.name + ".x"`.
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}\.tmp")
    with suppress(OSError):
        for entry in os.scandir(target.parent):
            if pattern.fullmatch(entry.name):
                _discard(Path(entry.path))


def _discard(temporary: Path) -> None:
    with suppress(OSError):
        temporary.unlink()


def _sync_directory(directory: Path) -> None:
    if os.name == "nt":  # Windows cannot open a directory, and orders the rename itself
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise


def _failure(error: OSError, target: Path, what: str) -> OSError:
    # OSError picks its subclass (PermissionError, …) by the number
    return OSError(error.errno, f"{error.strerror or error} ({what})", str(target))
