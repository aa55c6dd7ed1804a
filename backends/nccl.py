"""Ranks with a GPU each, connected by NCCL through CuPy. Only processes that ``mpiexec`` started import this.

MPI starts the ranks and passes NCCL's id on; gradients then go from GPU to GPU.
"""

from __future__ import annotations

import ctypes
import importlib
import socket
import warnings
from functools import cache
from typing import Any

from .cublaslt_product import address
from .errors import BackendUnavailable
from .rank_gpu import VISIBLE
from .ranks import Ranks

TYPES = {"float32": "NCCL_FLOAT32", "float64": "NCCL_FLOAT64"}


class NCCLCollective:
    """What moves arrays between the GPUs of all ranks; work is queued on CuPy's current stream.

    Raises
    ------
    BackendUnavailable
        On all ranks alike: one of them has no NCCL, or two have the same GPU.
    """

    def __init__(self, ranks: Ranks, cupy: Any) -> None:
        self.ranks, self._stream = ranks, cupy.cuda.get_current_stream
        self._nccl, missing = _imported()
        everyone = ranks.gather((missing, f"{cupy.cuda.Device().pci_bus_id} of {socket.gethostname()}"))
        _check(cupy, everyone)
        self._types = {name: getattr(self._nccl, number) for name, number in TYPES.items()}
        id_ = ranks.share(self._nccl.get_unique_id)
        try:
            self._communicator = self._nccl.NcclCommunicator(ranks.size, id_, ranks.rank)
        except self._nccl.NcclError as error:
            raise BackendUnavailable(
                f"NCCL does not connect the {ranks.size} ranks: {error}; NCCL_DEBUG=WARN makes it say why"
            ) from None
        # Never destroyed: NCCL would wait for the other ranks, and for the graphs that hold its work.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._communicator))

    def allreduce(self, array: Any) -> None:
        place, stream = address(array), self._stream().ptr
        self._communicator.allReduce(place, place, *self._kind(array), self._nccl.NCCL_SUM, stream)

    def broadcast(self, array: Any) -> None:
        place, stream = address(array), self._stream().ptr
        self._communicator.broadcast(place, place, *self._kind(array), 0, stream)

    def barrier(self) -> None:
        self._stream().synchronize()
        self.ranks.barrier()

    def _kind(self, array: Any) -> tuple[int, int]:
        return array.size, self._types[array.dtype.name]


@cache
def collective(ranks: Ranks) -> NCCLCollective:
    """The connection of this process, which takes a second; it is made once."""
    return NCCLCollective(ranks, importlib.import_module("cupy"))


def _imported() -> tuple[Any, str]:
    """CuPy's binding, and why it is not there."""
    with warnings.catch_warnings(record=True) as said:  # CuPy's own, which names a command for each rank
        warnings.simplefilter("always")
        found = importlib.import_module("cupy.cuda.nccl")
    if found.available:
        return found, ""
    reasons = [line for warning in said for line in str(warning.message).splitlines() if line.startswith("Reason: ")]
    return found, next(iter(reasons), "Reason: it is not installed").removeprefix("Reason: ")


def _check(cupy: Any, everyone: list[tuple[str, str]]) -> None:
    """Raises BackendUnavailable if a rank has no NCCL, or not a GPU of its own."""
    for rank, (missing, _) in enumerate(everyone):
        if missing:
            major = cupy.cuda.runtime.runtimeGetVersion() // 1000
            raise BackendUnavailable(
                f"rank {rank} cannot load NCCL, which connects the GPUs of several ranks: {missing}; "
                f"pip install nvidia-nccl-cu{major}"
            )
    gpus = [gpu for _, gpu in everyone]
    for rank, gpu in enumerate(gpus):
        first = gpus.index(gpu)
        if first != rank:
            raise BackendUnavailable(
                f"ranks {first} and {rank} both use the GPU {gpu}, but each rank needs its own; unset {VISIBLE}, and "
                "use no CUDA before Gearshift, or use backend 'numba'"
            )
