"""The general models in Gearshift."""

from __future__ import annotations

from ...dl.data import Dataset
from ...dl.layers import (
    GELU,
    BatchNorm1d,
    Dropout,
    Embedding,
    Layer,
    LayerNorm,
    Linear,
    MeanPooling,
    ReLU,
    Residual,
    Sequential,
    TransformerBlock,
)
from ...dl.layers.formulas import SiLU
from ...dl.losses.classes import CrossEntropyLoss
from ...dl.losses.losses import Loss
from ...dl.losses.values import HuberLoss
from ...dl.optimizers.adam import Adam
from ...dl.training.loop import Loop
from ...dl.training.trainer import Trainer
from .contender import ModelEpochs
from .models import CLASSES, HEADS, TOKENS, VOCABULARY, WIDTH, data, parse
from .networks import BETAS, EPS, LR


def layers(name: str) -> list[Layer]:
    """The layers of a general model."""
    if name in ("embedding", "transformer"):
        own: list[Layer] = [Embedding(VOCABULARY, WIDTH, length=TOKENS if name == "transformer" else None)]
        own += [TransformerBlock(WIDTH, HEADS, causal=False) for _ in range(2 if name == "transformer" else 0)]
        return [*own, MeanPooling(), Linear(WIDTH, CLASSES)]
    if name == "residual":
        blocks = [Residual(LayerNorm(256), Linear(256, 512), GELU(), Linear(512, 256)) for _ in range(3)]
        return [Linear(784, 256), *blocks, Linear(256, CLASSES)]
    inputs, hidden = {"wide": (1024, 2048), "own formulas": (784, 256)}.get(name, (784, 512))
    after = {
        "dropout": lambda: [ReLU(), Dropout(0.2)],
        "batch norm": lambda: [BatchNorm1d(hidden), ReLU()],
        "own formulas": lambda: [SiLU()],
    }.get(name, lambda: [ReLU()])
    first, second = Linear(inputs, hidden), Linear(hidden, hidden)
    return [first, *after(), second, *after(), Linear(hidden, CLASSES)]


class GearshiftModelEpochs(ModelEpochs):
    """The epochs of one `Trainer.fit`."""

    def __init__(self, name: str, backend: str) -> None:
        model = parse(name)
        criterion: Loss = HuberLoss() if model.values else CrossEntropyLoss()
        optimizer = Adam(lr=LR, betas=BETAS, eps=EPS)
        self.trainer = Trainer(Sequential(*layers(name)), criterion, optimizer, backend=backend, seed=0)
        self.loop = Loop(self.trainer, Dataset(*data(model)), None, model.batch)

    def run(self) -> None:
        self.trainer.epochs += 1
        self.loop.run([])

    def loss(self) -> float:
        return float(self.trainer.history["loss"][-1])
