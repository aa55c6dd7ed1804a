"""Ranks that MPI connects, through mpi4py. Only processes that ``mpiexec`` started import this."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

import mpi4py
import numpy as np

if "mpi4py.MPI" not in sys.modules:
    mpi4py.rc.thread_level = "serialized"  # more would cost locks in every call

from mpi4py import MPI

from . import host
from .errors import BackendUnavailable
from .ranks import Ranks
from .watch import Door, RankWatch, leave

T = TypeVar("T")
TAG = 29_517  # of the only messages outside of a communicator of their own
_kept: list[Any] = []  # what has been passed, and must stay open until this process has ended


class MPIRanks(Ranks):
    """All ranks of an MPI launch; rank 0 gives the others the door to the process that watches them.

    Raises
    ------
    BackendUnavailable
        Rank 0 has ended without training, or cannot be reached.
    """

    def __init__(self, door: Door | None) -> None:
        world: Any = MPI.COMM_WORLD
        self.rank, self.size = world.rank, world.size
        self._crowded = host.sharing() > host.cores()
        door = _passed(door)
        if door is None:
            raise BackendUnavailable(f"rank 0 of {self.size} has ended without training, so no other rank can train")
        self._watch = RankWatch(self, door.enter(self.rank))
        self.training = True  # this rank waits for the others
        self._world: Any = world.Dup()
        self.training = False
        sys.excepthook = self._uncaught

    def allreduce(self, array: np.ndarray) -> None:
        if not self._crowded:
            self._world.Allreduce(MPI.IN_PLACE, array)
            return
        request = self._world.Iallreduce(MPI.IN_PLACE, array)
        while not request.Test():  # MPI would hold the core that another rank waits for
            time.sleep(0)

    def broadcast(self, array: np.ndarray) -> None:
        self._world.Bcast(array)

    def barrier(self) -> None:
        self._world.Barrier()

    def share(self, make: Callable[[], T]) -> T:
        return self._world.bcast(make() if self.rank == 0 else None)

    def gather(self, value: T) -> list[T]:
        return self._world.allgather(value)

    def fail(self, text: str, code: int) -> None:
        self._watch.fail(text, code)

    def _uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """An error that ends a script ends all ranks: the others would wait for this one."""
        self.fail("".join(traceback.format_exception(kind, error, trace)).rstrip(), 1)


def end_without_training() -> None:
    """Tells the ranks that train, or will, that this one does not come: MPI would make both wait for each other."""
    if not _kept and MPI.Is_initialized() and not MPI.Is_finalized():
        door = _passed(None)
        if door is not None:
            connection = door.enter(MPI.COMM_WORLD.rank)
            _kept.append(connection)
            leave(connection)


def _passed(door: Door | None) -> Door | None:
    """What rank 0 gave, on every rank; each calls it once, when it trains first or ends. Waits for rank 0 alone."""
    world: Any = MPI.COMM_WORLD
    if world.rank:
        door = world.recv(source=0, tag=TAG)
    else:
        _kept.extend(world.isend(door, dest=rank, tag=TAG) for rank in range(1, world.size))
    _kept.append(door)
    return door


def world_size() -> int:
    """Number of ranks that MPI sees."""
    return MPI.COMM_WORLD.size
