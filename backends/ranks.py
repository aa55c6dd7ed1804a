"""The processes, called ranks, that train one model together; one rank alone unless ``mpiexec`` started more."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from .errors import ConfigurationError

T = TypeVar("T")

SWITCH = "GEARSHIFT_MPI"
LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS", "MPI_LOCALRANKID"),  # MPICH, Intel MPI
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"),
)
"""The variables in which launchers tell a process what `Launched` has."""


class Launched(NamedTuple):
    """What a launcher tells a process.

    Attributes
    ----------
    size : number of ranks.
    rank : number of this rank.
    local_size : number of ranks on its machine.
    local_rank : number of this rank among those.
    """

    size: int = 1
    rank: int = 0
    local_size: int = 1
    local_rank: int = 0


class Collective(Protocol):
    """What moves arrays of a backend between the ranks; `Ranks` does so for arrays of the host.

    Every rank must make the same calls in the same order.
    """

    def allreduce(self, array: Any) -> None:
        """Replaces the array, contiguous and of the same size on all ranks, by its sum over all ranks."""

    def broadcast(self, array: Any) -> None:
        """Replaces the array, contiguous and of the same size on all ranks, by that of rank 0."""

    def barrier(self) -> None:
        """Returns when all ranks have called it."""


class Ranks:
    """The ranks as one of them sees them; this class is a rank alone.

    Attributes
    ----------
    rank : number of this rank.
    size : number of ranks.
    remedy : what a user does after a rank has failed, such as a command that resumes the run.
    training : whether this rank expects all others to take part.
    """

    rank = 0
    size = 1
    remedy = ""
    training = False

    def allreduce(self, array: np.ndarray) -> None:
        """Replaces the array, contiguous and of the same size on all ranks, by its sum over all ranks."""

    def broadcast(self, array: np.ndarray) -> None:
        """Replaces the array, contiguous and of the same size on all ranks, by that of rank 0."""

    def barrier(self) -> None:
        """Returns when all ranks have called it."""

    def share(self, make: Callable[[], T]) -> T:
        """What `make` returns on rank 0; it is not called on the others."""
        return make()

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, in order, on every rank."""
        return [value]

    def fail(self, text: str, code: int) -> None:
        """Ends all ranks after an error of this one, which rank 0 prints; a rank alone goes on and handles it."""


def launched() -> Launched:
    """The ranks, as the launcher tells them.

    Raises
    ------
    ConfigurationError
        GEARSHIFT_MPI is neither on nor off.
    """
    if os.environ.get(SWITCH, "on") not in ("on", "off"):
        raise ConfigurationError(f"{SWITCH} is {os.environ[SWITCH]!r}; expected on or off")
    for names in LAUNCHERS:
        size, rank, local_size, local_rank = (os.environ.get(name, "") for name in names)
        if size.isdecimal() and rank.isdecimal() and os.environ.get(SWITCH) != "off":
            here = max(1, int(local_size)) if local_size.isdecimal() else 1
            return Launched(int(size), int(rank), here, int(local_rank if local_rank.isdecimal() else rank) % here)
    return Launched()


def share_of(rows: int, rank: int, size: int) -> tuple[int, int]:
    """The first row and the number of rows of a rank's part of a batch; earlier ranks have the larger parts."""
    part, more = divmod(rows, size)
    return rank * part + min(rank, more), part + (rank < more)
