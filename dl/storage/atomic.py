"""Replacing a file in one step: at every moment, also after a crash, it holds the old content or the new."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

Bytes = bytes | bytearray | memoryview

# Some file systems cannot open or sync a directory; they order a rename by themselves, or nobody can.
_NO_DIRECTORY_SYNC = {errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP}


def write_atomically(path: Path | str, data: Bytes | Iterable[Bytes]) -> None:
    """Write `data` to `path`, whole or not at all.

    The bytes go to a temporary beside the target, which is synced and renamed over it; then the directory is synced.
    A target has one writer at a time. A symbolic link is replaced, not followed.

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
    _remove_leftovers(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    step = "creating a temporary file beside it"
    try:
        with temporary.open("xb") as file:
            step = "writing"
            for part in [data] if isinstance(data, Bytes) else data:
                file.write(part)
            file.flush()
            step = "syncing"
            os.fsync(file.fileno())
        step = "renaming"
        temporary.replace(target)
    except OSError as error:
        _discard(temporary)
        raise _failure(error, target, f"{step} failed; a file that was there is unchanged") from error
    except BaseException:  # also an interrupt
        _discard(temporary)
        raise
    try:
        _sync_directory(target.parent)
    except OSError as error:
        raise _failure(error, target, "written, but syncing its directory failed") from error


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
