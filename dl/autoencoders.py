"""Autoencoders of every kind: an encoder and a decoder that mirror each other, trained to give back their input."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np

from ..backends.errors import ConfigurationError
from .callbacks import Callback
from .data import Dataset, Splits
from .layers import (
    Contractive,
    Dropout,
    GaussianNoise,
    KLSparsity,
    L1Activity,
    Layer,
    Linear,
    MaskingNoise,
    Maxout,
    Sequential,
    Sigmoid,
    Standardize,
    Variational,
)
from .layers.activations import activations
from .losses import Loss, MSELoss
from .trainer import Trainer

Kind = Literal["undercomplete", "sparse", "denoising", "contractive", "stacked", "variational"]


def autoencoder(
    features: int,
    code: int,
    hidden: Sequence[int] = (),
    *,
    kind: Kind = "undercomplete",
    activation: str = "relu",
    weight: float | None = None,
    penalty: Literal["kl", "l1"] = "kl",
    rate: float = 0.05,
    noise: Literal["masking", "gaussian"] = "masking",
    amount: float = 0.3,
    dropout: float = 0.0,
    first: Sequence[Layer] = (),
    dtype: str = "float32",
) -> Sequential:
    """An autoencoder ``Sequential(encoder, decoder)``; train it with x as its own targets.

    Parameters
    ----------
    features, code : widths of a row and of its code.
    hidden : widths of the layers between, from the features on; the decoder has them backwards.
    kind : ``"undercomplete"`` and ``"stacked"`` have a linear code; ``"sparse"`` sigmoid units and a penalty on them;
        ``"denoising"`` noise on the input; ``"contractive"`` a penalty on the derivative of each layer of the encoder;
        ``"variational"`` a code that is drawn.
    activation : of the hidden layers; of the encoder's in a contractive one ``"relu"``, ``"tanh"`` or ``"sigmoid"``.
    weight : of the penalty; by default 1e-3, and 1 / features for a variational one, which fits losses that are means
        over the features.
    penalty, rate : of a sparse code: ``"kl"`` keeps units active at the rate, ``"l1"`` draws them towards 0.
    noise, amount : of the denoising kind: the probability of masking, or the deviation of the noise.
    dropout : after each hidden activation.
    first : layers before all others, as a `Standardize`.

    Raises
    ------
    ConfigurationError
        The kind or an argument is unknown.
    """
    kinds = {name: each for name, each in activations().items() if each is not Maxout}  # which needs wider layers
    for name, value, known in (
        ("kind", kind, get_args(Kind)),
        ("activation", activation, [*kinds]),
        ("penalty", penalty, ("kl", "l1")),
        ("noise", noise, ("masking", "gaussian")),
    ):
        if value not in known:
            raise ConfigurationError(f"autoencoder: {name} is {value!r}; expected one of: {', '.join(known)}")
    init = kinds[activation].initializer
    strength = weight if weight is not None else 1 / features if kind == "variational" else 1e-3
    encoder = [*first]
    if kind == "denoising":
        encoder.append(MaskingNoise(amount) if noise == "masking" else GaussianNoise(amount))

    def block(width: int, wider: int, contractive: bool = False) -> Sequential:
        if contractive:
            return Sequential(Contractive(width, wider, activation, strength))
        inside = [Linear(width, wider, init=init), kinds[activation]()]
        return Sequential(*inside, *([Dropout(dropout)] if dropout else []))

    widths = [features, *hidden]
    for width, narrower in pairwise(widths):
        encoder.append(block(width, narrower, kind == "contractive"))
    last = widths[-1]
    if kind == "sparse":
        penalized = KLSparsity(strength, rate) if penalty == "kl" else L1Activity(strength)
        encoder.append(Sequential(Linear(last, code), Sigmoid(), penalized))
    elif kind == "contractive":
        encoder.append(Sequential(Contractive(last, code, "sigmoid", strength)))
    elif kind == "variational":
        encoder.append(Variational(last, code, strength))
    else:
        encoder.append(Linear(last, code))
    *inner, (narrow, _) = pairwise([code, *reversed(widths)])
    decoder = [*(block(width, wider) for width, wider in inner), Linear(narrow, features)]
    return Sequential(Sequential(*encoder), Sequential(*decoder), dtype=dtype)


def pretrain(trainer: Trainer, data: Dataset, *, epochs: int, batch_size: int, verbose: bool = False) -> list[float]:
    """Trains an autoencoder's layers one pair after another, from outside in (Bengio et al. 2007); returns the losses.

    The first layer of the encoder and the last of the decoder learn to give back the targets; then the next pair
    learns to give back the codes of the one before, by squared error; and so on. The weights stay in the model, whose
    `Trainer.fit` then trains all of them jointly. ``trainer.stop()`` ends this too.

    Parameters
    ----------
    trainer : of a model as `autoencoder` returns; its optimizer, backend and seed are those of each pair.
    data : rows and their targets.
    epochs : of each pair.
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
    """Ends a training when another one has been asked to stop."""

    def __init__(self, other: Trainer) -> None:
        self.other = other

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self.on_tick(trainer)

    def on_tick(self, trainer: Trainer) -> None:
        if self.other.stopping:
            trainer.stop(self.other.stopped)


def scale_of(splits: Splits, standardize: bool) -> tuple[np.ndarray, np.ndarray]:
    """What is subtracted from rows and what they are divided by, (features,) each: bytes become shares of 255."""
    width = int(np.prod(splits.feature_shape))
    if splits.train.x.dtype == np.uint8:
        return np.zeros(width), np.full(width, 255.0)
    if not standardize:
        return np.zeros(width), np.ones(width)
    mean, deviation = (part.reshape(-1) for part in splits.standardization())
    return mean, np.where(deviation > 0, deviation, 1)


def reconstructing(splits: Splits, standardize: bool) -> Splits:
    """The same rows with themselves, scaled, as targets."""
    mean, deviation = scale_of(splits, standardize)

    def own(part: Dataset | None) -> Dataset | None:
        if part is None:
            return None
        x = np.asarray(part.x).reshape(len(part), -1)
        real = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        scaled = (x - mean.astype(real)) / deviation.astype(real)
        return Dataset(part.x, scaled, part.weight, feature_names=part.feature_names)

    return Splits(own(splits.train), own(splits.validation), own(splits.test), None, splits.name)  # pyright: ignore


def shown(loss: Loss, outputs: np.ndarray) -> np.ndarray:
    """Outputs as they compare with targets: probabilities where the loss takes logits."""
    return loss.probabilities(outputs) if loss.targets == "binary" else outputs


def sampled(trainer: Trainer, count: int, seed: int = 0) -> np.ndarray:
    """Rows (count, features) that a variational autoencoder's decoder makes of codes drawn from N(0, 1)."""
    encoder, decoder = trainer.model.children().values()
    *_, middle = encoder.children().values()
    if not isinstance(middle, Variational):
        raise ConfigurationError("samples are drawn from a variational autoencoder; this one's codes have no known law")
    drawn = np.random.default_rng(seed).standard_normal((count, middle.out_features)).astype(trainer.model.dtype)
    return shown(trainer.loss, trainer.outputs_of(decoder, drawn))


def codes(trainer: Trainer, x: Any) -> np.ndarray:
    """The codes (rows, code) of rows x."""
    encoder, _ = trainer.model.children().values()
    return trainer.outputs_of(encoder, x)
