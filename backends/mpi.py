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
from .ranks import Ranks
from .watch import RankWatch

T = TypeVar("T")


class MPIRanks(Ranks):
    """All ranks of an MPI launch."""

    def __init__(self) -> None:
        self._world: Any = MPI.COMM_WORLD.Dup()
        self.rank, self.size = self._world.rank, self._world.size
        self._crowded = host.sharing() > host.cores()
        self._watch = RankWatch(self)
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
