"""Ends a rank for which rank 0 does not come; a process of its own does so, as MPI may hold Python's lock meanwhile.

The process of a rank other than 0 starts this file with its own number, those of all ranks and of its process, and the
seconds to wait. It ends when standard input does.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 330.0  # after those in which the watcher of rank 0 would have named a rank that is missing


@contextmanager
def patience(size: int, rank: int, seconds: float = SECONDS) -> Iterator[None]:
    """Within it, a rank other than 0 ends with a message if it waits for longer than that."""
    if rank == 0:  # the watcher ends it
        yield
        return
    command = [sys.executable, "-I", "-S", __file__, *map(str, (rank, size, os.getpid(), seconds))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield


def main() -> None:
    rank, size, parent, seconds = sys.argv[1:]
    if select.select([sys.stdin], [], [], float(seconds))[0]:
        return
    why = f"has not begun to train {float(seconds):g} s after rank {rank}, so all ranks end"
    os.write(2, f"error: rank 0 of {size} {why}\n".encode())
    if os.getppid() == int(parent):
        os.kill(int(parent), signal.SIGKILL)


if __name__ == "__main__":
    main()
