"""PyTorch's DistributedDataParallel on gloo: a process with one thread per rank, and the fused Adam."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
import torch.distributed  # pyright: ignore[reportMissingImports]
from mpi4py import MPI
from torch.nn.parallel import DistributedDataParallel  # pyright: ignore[reportMissingImports]

from .contender import Contender, ContenderEpochs
from .networks import DenseNetwork, Pixels, Weights
from .torch_contender import Eager, TorchIndexedEpochs

LOOPBACK = "GLOO_SOCKET_IFNAME"  # gloo looks for the host's name otherwise, which may be nowhere


def make() -> Contender:
    """PyTorch's ranks, connected by gloo on this machine."""
    world: Any = MPI.COMM_WORLD
    os.environ.setdefault(LOOPBACK, "lo")
    folder = world.bcast(tempfile.mkdtemp() if world.rank == 0 else None)
    distributed: Any = torch.distributed
    store = distributed.FileStore(str(Path(folder) / "store"), world.size)
    distributed.init_process_group("gloo", store=store, rank=world.rank, world_size=world.size)
    torch.set_num_threads(1)
    return TorchRanks()


class TorchRanks(Contender):
    """Has epochs only."""

    def epochs(self, network: DenseNetwork, layers: Weights, data: Pixels, batch_size: int) -> ContenderEpochs:
        x = torch.from_numpy(data.standardized())
        torch.manual_seed(0)  # the same orders on all ranks
        trained: Any = Eager(network, layers)
        trained.module = DistributedDataParallel(trained.module, gradient_as_bucket_view=True, static_graph=True)
        return TorchRankEpochs(trained, x, x if network.autoencoder else torch.from_numpy(data.y), batch_size)

    def settings(self) -> dict[str, Any]:
        size = torch.distributed.get_world_size()
        return {"torch": torch.__version__, "ranks": size, "threads of each": torch.get_num_threads()}


class TorchRankEpochs(TorchIndexedEpochs):
    """This rank's rows of each batch, in one order of all ranks."""

    def run(self) -> None:
        rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        for batch in torch.randperm(len(self.x)).split(self.batch_size):
            rows = batch.tensor_split(size)[rank]
            x = self.x.index_select(0, rows)
            self.trained.step(x, x if self.y is self.x else self.y.index_select(0, rows))
