"""Latency and rate of the all-reduce between two processes of this machine: python -m …network BYTES on two ranks."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ....backends.errors import ConfigurationError
from ..analysis.scaling import Link

REMEDY = "pip install 'gearshift[mpi]' mpich, or give --network, as --network 25us,100Gbit"
SECONDS, ROUNDS = 0.5, 30  # of the all-reduces of one size; at the least


def launcher() -> str | None:
    """The mpiexec of this environment, or of the system; None if it or mpi4py is missing."""
    own = Path(sys.prefix) / "bin" / "mpiexec"
    found = str(own) if own.exists() else shutil.which("mpiexec")
    return found if find_spec("mpi4py") else None


def measure(size: int) -> Link:
    """Measures an all-reduce of `size` bytes, and one of a few, between two processes with a thread each.

    Raises
    ------
    ConfigurationError
        There is no mpiexec, or it fails.
    """
    mpiexec = launcher()
    if mpiexec is None:
        raise ConfigurationError(f"--workers measures the network with mpiexec and mpi4py, which are missing; {REMEDY}")
    command = [mpiexec, "-n", "2", sys.executable, "-m", __name__, str(size)]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "GEARSHIFT_THREADS": "1"})
    try:
        few, many = json.loads(ended.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        reason = (ended.stderr or ended.stdout).strip().splitlines()[-1:] or ["it says nothing"]
        raise ConfigurationError(f"--workers: {mpiexec} does not run: {reason[0]}; {REMEDY}") from None
    return Link(few / 2, size / max(many - few, 1e-9))


def timed(world: Any, size: int) -> float:
    """The median seconds of an all-reduce of `size` bytes."""
    from mpi4py import MPI

    array, found, end = np.zeros(max(1, size // 4), np.float32), [], time.perf_counter() + SECONDS
    more = True
    while more:
        array[...] = 1  # as a backward pass has just written it
        world.Barrier()
        start = time.perf_counter()
        world.Allreduce(MPI.IN_PLACE, array)
        found.append(time.perf_counter() - start)
        more = world.bcast(len(found) < ROUNDS or time.perf_counter() < end)
    return statistics.median(found)


def main() -> None:
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    seconds = [timed(world, 4), timed(world, int(sys.argv[1]))]
    if world.rank == 0:
        print(json.dumps(seconds))


if __name__ == "__main__":
    main()
