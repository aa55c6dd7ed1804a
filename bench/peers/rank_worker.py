"""A rank of a contender: ``mpiexec -n 2 python -m gearshift.bench.peers.rank_worker NAME``.

Rank 0 answers requests as worker.py does, and passes each on. The others sleep until then, because MPI waits by using a
core that another contender may be timed on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from mpi4py import MPI

from .worker import Worker, fall_asleep

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


def main() -> None:
    """Answers requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is not an answer
    worker = RankWorker(sys.argv[1])
    for line in requests():
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
        fall_asleep()
        if MPI.COMM_WORLD.rank == 0:
            answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
