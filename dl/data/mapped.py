"""Files behind memory maps, which somebody may write to while they are read."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ...backends.errors import DataError


class MappedFiles:
    """The files behind read-only memory maps, as they are when this is made.

    A file that another one replaced by renaming is no matter: the map keeps the one that it was made of. A file that
    is cut short while a pass over its rows is under way ends the process (SIGBUS), which nothing in it can prevent.
    """

    def __init__(self, *arrays: Any) -> None:
        maps = [array for array in arrays if isinstance(array, np.memmap) and array.mode == "r" and array.filename]
        self.begun = {str(array.filename): _stamp(str(array.filename)) for array in maps}

    def check(self) -> None:
        """Looks at the files, but not into them.

        Raises
        ------
        DataError
            One was written to.
        """
        for path, begun in self.begun.items():
            now = _stamp(path)
            if now != begun and now[:2] == begun[:2]:
                raise DataError(
                    f"{path} was written to while it was trained on, as a memory map; train on a copy, or replace the "
                    "file by renaming another to its name"
                )


def _stamp(path: str) -> tuple[int, ...]:
    """Which file it is, its size, and when it was last written; zeros where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return (0, 0, 0, 0)
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
