"""Small trainings that a GPU must do as the CPU does: dense layers with each optimizer, a transformer, and formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...dl.layers import Dropout, Embedding, Layer, Linear, ReLU, Sequential, Standardize, Tanh, TransformerBlock
from ...dl.layers.formulas import SiLU
from ...dl.losses.classes import CrossEntropyLoss
from ...dl.losses.values import HuberLoss, MSELoss
from ...dl.optimizers.adam import Adam, AdamW
from ...dl.optimizers.rmsprop import RMSprop
from ...dl.optimizers.sgd import SGD
from ...dl.step.precision import PRECISIONS
from ...dl.training.trainer import Trainer
from .formulas import ProofGate

ROWS, BATCH = 1003, 32
TOKENS, LENGTH = 12, 6  # of the transformer


def dense() -> list[Layer]:
    """Layers on bytes."""
    first = Standardize(20).fit(np.full(20, 127.5), np.full(20, 73.9))
    return [first, Linear(20, 64, init="he"), ReLU(), Dropout(0.1), Linear(64, 33), Tanh(), Linear(33, 5)]


def transformer() -> list[Layer]:
    """Attention, layer normalisation, GELU and dropout on tokens; each token is told the next one."""
    return [Embedding(TOKENS, 16, length=LENGTH), TransformerBlock(16, 2, dropout=0.1), Linear(16, TOKENS)]


def formulas() -> list[Layer]:
    """A layer and an activation that are formulas, each one generated kernel forward and some backward."""
    first = Standardize(20).fit(np.full(20, 127.5), np.full(20, 73.9))
    return [first, Linear(20, 32, init="he"), SiLU(), ProofGate(32), Linear(32, 5)]


@dataclass(frozen=True)
class SmallTraining:
    """What is trained: an optimizer and a loss, options of the trainer, and layers."""

    optimizer: Callable[[], Any]
    loss: Callable[[], Any]
    options: dict[str, Any] = field(default_factory=dict)
    layers: Callable[[], list[Layer]] = dense

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Bytes or tokens as features, and targets that suit the loss."""
        random = np.random.default_rng(0)
        if self.layers is transformer:
            x = random.integers(0, TOKENS, (ROWS, LENGTH))
            return x, (x + 1) % TOKENS
        x = random.integers(0, 256, (ROWS, 20)).astype(np.uint8)
        classes = self.loss is CrossEntropyLoss
        return x, random.integers(0, 5, ROWS) if classes else random.standard_normal((ROWS, 5))


TRAININGS = {
    "Adam": SmallTraining(lambda: Adam(lr=0.01), CrossEntropyLoss),
    "SGD": SmallTraining(lambda: SGD(lr=0.1), CrossEntropyLoss),
    "transformer": SmallTraining(lambda: Adam(lr=3e-3), CrossEntropyLoss, layers=transformer),
    "formulas": SmallTraining(lambda: Adam(lr=0.01), HuberLoss, layers=formulas),
    "AdamW, clipped": SmallTraining(lambda: AdamW(lr=0.01, weight_decay=0.1), MSELoss, {"clip_norm": 0.5}),
    "SGD with momentum": SmallTraining(lambda: SGD(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01), MSELoss),
    "RMSprop": SmallTraining(lambda: RMSprop(lr=3e-3, momentum=0.5, centered=True), CrossEntropyLoss),
}
"""Those that tell most come first."""


def train(where: str, name: str, precision: str, epochs: int) -> Trainer:
    """A small net, trained."""
    trainer, (x, y) = build(where, name, precision), TRAININGS[name].data()
    trainer.fit(x, y, validation=(x[:100], y[:100]), epochs=epochs, batch_size=BATCH, verbose=False)
    return trainer


def build(where: str, name: str, precision: str) -> Trainer:
    """A small net that is not trained yet."""
    one = TRAININGS[name]
    model = Sequential(*one.layers(), dtype=PRECISIONS[precision])
    return Trainer(model, one.loss(), one.optimizer(), backend=where, precision=precision, seed=3, **one.options)
