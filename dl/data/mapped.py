"""Detects changes to memory-mapped files during training."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ...backends.errors import DataError


class MappedFiles:
    """The files behind read-only memory maps, and their state when this object was created.

    Replacing a file by renaming is harmless: the map keeps the old file. Truncating a file during a pass over its
    rows ends the process (SIGBUS), which cannot be prevented.
    """

    def __init__(self, *arrays: Any) -> None:
        maps = [array for array in arrays if isinstance(array, np.memmap) and array.mode == "r" and array.filename]
        self.begun = {str(array.filename): _stamp(str(array.filename)) for array in maps}

    def check(self) -> None:
        """Checks size and modification time of the files.

        Raises
        ------
        DataError
            A file was written to.
        """
        for path, begun in self.begun.items():
            now = _stamp(path)
            if now != begun and now[:2] == begun[:2]:
                raise DataError(
                    f"{path} was written to while it was trained on, as a memory map; train on a copy, or replace the "
                    "file by renaming another to its name"
                )


def _stamp(path: str) -> tuple[int, ...]:
    """Device, inode, size and modification time of a file; zeros if it does not exist."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return (0, 0, 0, 0)
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
