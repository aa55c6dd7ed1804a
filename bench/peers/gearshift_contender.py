"""Gearshift: what `Trainer.fit` runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends import host
from ...backends.ranks import Ranks
from ...dl.data import Dataset
from ...dl.data.resident import Resident
from ...dl.layers import Layer, Linear, ReLU, Sequential, Standardize
from ...dl.losses.classes import CrossEntropyLoss
from ...dl.losses.values import MSELoss
from ...dl.optimizers.adam import Adam
from ...dl.step.state import TABLE
from ...dl.step.stepper import Stepper
from ...dl.training.loop import Loop
from ...dl.training.trainer import Trainer
from .contender import Contender, ContenderEpochs, ContenderSteps, ModelEpochs
from .networks import BETAS, EPS, LR, DenseNetwork, Pixels, Weights

ORDER = 1 << 24  # rows of the order that names a batch's rows again and again


def make(backend: str) -> Contender:
    """Gearshift on this backend."""
    return Gearshift(backend)


class Gearshift(Contender):
    """Steps are a plan's, epochs are the loop's."""

    def __init__(self, backend: str, precision: str | None = None, ranks: Ranks | None = None) -> None:
        self.backend, self.precision, self.ranks = backend, precision, ranks

    def steps(self, network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray) -> ContenderSteps:
        return GearshiftSteps(self.trainer(network, layers), x, y)

    def epochs(self, network: DenseNetwork, layers: Weights, data: Pixels, batch_size: int) -> ContenderEpochs:
        """Raw bytes, standardised as they are gathered; an autoencoder's targets are standardised before."""
        statistics = Standardize(network.widths[0]).fit(data.mean, data.std)
        targets = data.standardized() if network.autoencoder else data.y
        data_set = Dataset(data.raw, targets)
        return LoopEpochs(self.trainer(network, layers, statistics), data_set, batch_size, self.ranks)

    def model(self, name: str) -> ModelEpochs:
        from .gearshift_models import GearshiftModelEpochs

        return GearshiftModelEpochs(name, self.backend)

    def trainer(self, network: DenseNetwork, layers: Weights, *first: Layer) -> Trainer:
        """A trainer of the network with these weights."""
        model = Sequential(*first, *_modules(network))
        _load(model, layers)
        loss = MSELoss() if network.autoencoder else CrossEntropyLoss()
        optimizer = Adam(lr=LR, betas=BETAS, eps=EPS)
        return Trainer(model, loss, optimizer, backend=self.backend, precision=self.precision)

    def settings(self) -> dict[str, Any]:
        return {"threads": host.blas_threads()}


class GearshiftSteps(ContenderSteps):
    """A training plan whose epoch is one batch, over and over."""

    def __init__(self, trainer: Trainer, x: np.ndarray, y: np.ndarray) -> None:
        self.state, self.rows = trainer.state, len(x)
        data, turns = Resident(trainer.backend, Dataset(x, y)), max(1, min(TABLE, ORDER // self.rows))
        rows = data.in_order(np.tile(np.arange(self.rows, dtype=np.int64), turns))
        self.stepper = Stepper(trainer.spec, self.state, rows, self.rows)
        self.plan = self.stepper.plan
        self.how = self.plan.how
        self.initial = self.state.pack()

    def reset(self) -> None:
        self.state.unpack(self.initial, 0, 0)
        self.state.prepare(1)

    def run(self, steps: int) -> None:
        self.state.begin_epoch()
        self.stepper.take(steps)

    def losses(self, steps: int) -> list[float]:
        sums = [0.0]
        for count in range(1, steps + 1):  # runs of several steps, as they are timed
            self.reset()
            self.run(count)
            sums.append(float(self.state.totals[1]) / self.rows)
        return np.diff(sums).tolist()


class LoopEpochs(ContenderEpochs):
    """The epochs of one `Trainer.fit`."""

    def __init__(self, trainer: Trainer, data: Dataset, batch_size: int, ranks: Ranks | None = None) -> None:
        self.trainer, self.loop = trainer, Loop(trainer, data, None, batch_size, ranks=ranks)

    def run(self) -> None:
        self.trainer.epochs += 1
        self.loop.run([])

    def weights(self) -> Weights:
        linears = [layer for layer in self.trainer.model.children().values() if isinstance(layer, Linear)]
        return [(layer.weight.numpy(), layer.bias.numpy()) for layer in linears if layer.bias is not None]


def _modules(network: DenseNetwork) -> list[Layer]:
    modules: list[Layer] = []
    for position, shape in enumerate(network.shapes):
        modules += [ReLU()] if position else []
        modules.append(Linear(*shape))
    return modules


def _load(model: Sequential, layers: Weights) -> None:
    linears = [layer for layer in model.children().values() if isinstance(layer, Linear)]
    for layer, (w, b) in zip(linears, layers, strict=True):
        assert layer.bias is not None
        layer.weight.array, layer.bias.array = w.copy(), b.copy()
