"""A lock that allows one writer per run directory."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import BaseFileLock, FileLock, Timeout

from ...backends.errors import RunLocked
from .atomic import write_atomically


class RunLock:
    """Exclusive lock of a run directory, held inside a ``with`` block.

    The operating system holds the lock (on `.lock`) and frees it when the process ends, however it ends.
    `.lock-owner` beside it only names the holder for error messages.

    Parameters
    ----------
    directory : path
        The run directory; made if missing.

    Raises
    ------
    RunLocked
        On entering, at once, if it is held already, by this process too; names the holder's PID and host.
    OSError
        On entering, if the directory cannot be made or written to.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        # Not in `.lock` itself: filelock may truncate that file, even when it fails to get the lock
        self._owner = self.directory / ".lock-owner"
        self._lock: BaseFileLock | None = None

    def __enter__(self) -> RunLock:
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.directory / ".lock", thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise RunLocked(
                f"{self.directory} is being written to by {self._holder()}; "
                "wait for it, stop it, or choose another run directory"
            ) from None
        try:
            write_atomically(self._owner, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except BaseException:
            lock.release()
            raise
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lock is not None:
            with suppress(OSError):
                self._owner.unlink()
            self._lock.release()
            self._lock = None

    def _holder(self) -> str:
        try:
            return self._owner.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:  # the holder is acquiring or releasing the lock
            return "another process"
