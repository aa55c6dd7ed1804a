"""A rank of a contender: ``mpiexec -n 2 python -m gearshift.bench.peers.rank_worker NAME``.

Rank 0 answers requests as worker.py does, and passes each on. The others sleep until then, because MPI waits by using a
core that another contender may be timed on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from mpi4py import MPI

from .worker import Worker, serve

NAP = 1e-3  # seconds between two looks for a request


class RankWorker(Worker):
    """Times what all ranks do together."""

    def block(self) -> dict[str, Any]:
        """Times an epoch, from when all ranks begin until all have ended."""
        MPI.COMM_WORLD.Barrier()
        start = time.perf_counter()
        super().block()
        MPI.COMM_WORLD.Barrier()
        return {"seconds": time.perf_counter() - start}


def requests() -> Iterator[str]:
    """The lines of rank 0's standard input, on every rank."""
    world: Any = MPI.COMM_WORLD
    line = None
    while line != "":
        if world.rank == 0:
            line = sys.stdin.readline()  # "" at the end
            for other in range(1, world.size):
                world.send(line, dest=other)
        else:
            while not world.iprobe(source=0):
                time.sleep(NAP)
            line = world.recv(source=0)
        if line:
            yield line


if __name__ == "__main__":
    serve(RankWorker, requests(), MPI.COMM_WORLD.rank == 0)
