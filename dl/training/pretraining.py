"""Layer-by-layer training of autoencoders; codes and samples of a trained one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError
from ..data import Dataset
from ..layers import (
    GaussianNoise,
    MaskingNoise,
    Sequential,
    Standardize,
    Variational,
)
from ..losses.losses import Loss
from ..losses.values import MSELoss
from .callbacks import Callback
from .trainer import Trainer


def pretrain(trainer: Trainer, data: Dataset, *, epochs: int, batch_size: int, verbose: bool = False) -> list[float]:
    """Trains an autoencoder's pairs of layers from outside in (Bengio et al. 2007); returns the losses.

    The first layer of the encoder and the last layer of the decoder learn to reconstruct the targets. Each further pair
    learns to reconstruct the codes of the previous pair, with the squared error. The weights stay in the model. Call
    `Trainer.fit` afterwards to train all layers jointly. ``trainer.stop()`` ends the pretraining, too.

    Parameters
    ----------
    trainer : of a model made by `autoencoder`; each pair uses its optimizer, backend and seed.
    data : rows and their targets.
    epochs : epochs for each pair.
    """
    encoder, decoder = trainer.model.ensure_initialized(trainer.seed).children().values()  # not pair by pair alike
    layers = list(encoder.children().values())
    first = [layer for layer in layers if isinstance(layer, Standardize | MaskingNoise | GaussianNoise)]
    inner = [layer for layer in layers if layer not in first]
    outer = list(decoder.children().values())[::-1]
    x, y, losses = data.x, data.y, []
    for level, (encode, decode) in enumerate(zip(inner, outer, strict=True)):
        encoding = Sequential(*(first if not level else []), encode)
        pair = Sequential(encoding, decode, dtype=trainer.model.dtype)
        pair.target_scaling = None if level else trainer.model.target_scaling
        loss: Loss = trainer.loss if not level else MSELoss()
        teacher = Trainer(pair, loss, trainer.optimizer, backend=trainer.backend.name, seed=trainer.seed)
        history = teacher.fit(
            Dataset(x, y, data.weight),
            epochs=epochs,
            batch_size=batch_size,
            callbacks=[_StopsWith(trainer)],
            verbose=verbose,
        )
        if teacher.stopped:
            trainer.stop(teacher.stopped)
            break
        losses.append(history["loss"][-1])
        x = y = teacher.outputs_of(encoding, x)
        pair.to_host()
    return losses


class _StopsWith(Callback):
    """Ends a training if another one has been asked to stop."""

    def __init__(self, other: Trainer) -> None:
        self.other = other

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self.on_tick(trainer)

    def on_tick(self, trainer: Trainer) -> None:
        if self.other.stopping:
            trainer.stop(self.other.stopped)


def shown(loss: Loss, outputs: np.ndarray) -> np.ndarray:
    """Outputs on the scale of the targets: probabilities if the loss takes logits."""
    return loss.probabilities(outputs) if loss.targets == "binary" else outputs


def sampled(trainer: Trainer, count: int, seed: int = 0) -> np.ndarray:
    """Samples (count, features): codes drawn from N(0, 1), decoded by a variational autoencoder."""
    encoder, decoder = trainer.model.children().values()
    *_, middle = encoder.children().values()
    if not isinstance(middle, Variational):
        raise ConfigurationError("samples need a variational autoencoder; these codes have no known distribution")
    drawn = np.random.default_rng(seed).standard_normal((count, middle.out_features)).astype(trainer.model.dtype)
    return shown(trainer.loss, trainer.outputs_of(decoder, drawn))


def codes(trainer: Trainer, x: Any) -> np.ndarray:
    """The codes (rows, code) of rows x."""
    encoder, _ = trainer.model.children().values()
    return trainer.outputs_of(encoder, x)
