"""Gearshift on several ranks: what `Trainer.fit` runs there."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends import host
from ...backends.launch import ranks
from ...dl.data import Dataset
from ...dl.layers import Standardize
from ...dl.training.loop import Loop
from ...dl.training.trainer import Trainer
from .contender import Contender, ContenderEpochs, ContenderSteps
from .gearshift_contender import Gearshift, LoopEpochs
from .networks import DenseNetwork, Pixels, Weights


def make(backend: str) -> Contender:
    """Gearshift's ranks on this backend."""
    ranks().training = True
    return GearshiftRanks(backend)


class GearshiftRanks(Gearshift):
    """Has epochs only."""

    def steps(self, network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray) -> ContenderSteps:
        raise NotImplementedError("ranks are compared by epochs")

    def epochs(self, network: DenseNetwork, layers: Weights, data: Pixels, batch_size: int) -> ContenderEpochs:
        statistics = Standardize(network.widths[0]).fit(data.mean, data.std)
        targets = data.standardized() if network.autoencoder else data.y
        return GearshiftRankEpochs(self.trainer(network, layers, statistics), Dataset(data.raw, targets), batch_size)

    def settings(self) -> dict[str, Any]:
        return {"ranks": ranks().size, "threads of each": host.threads()}


class GearshiftRankEpochs(LoopEpochs):
    """The epochs of one `Trainer.fit` on several ranks."""

    def __init__(self, trainer: Trainer, data: Dataset, batch_size: int) -> None:
        self.trainer, self.loop = trainer, Loop(trainer, data, None, batch_size, ranks=ranks())
