"""Autoencoders: an encoder and a mirrored decoder, trained to reproduce their input."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

from ...backends.errors import ConfigurationError
from . import (
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
    Variational,
)
from .activations import activations

Kind = Literal["undercomplete", "sparse", "denoising", "contractive", "stacked", "variational"]


def autoencoder(
    features: int,
    code: int,
    hidden: Sequence[int] | int = (),
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
    features, code : number of features of a row and of its code.
    hidden : sizes of the encoder's hidden layers; the decoder has them in reverse order.
    kind : ``"undercomplete"`` and ``"stacked"`` have a linear code; ``"sparse"`` sigmoid units and a penalty on them;
        ``"denoising"`` noise on the input; ``"contractive"`` a penalty on the derivative of each layer of the encoder;
        ``"variational"`` a sampled code.
    activation : of the hidden layers; for ``"contractive"``: ``"relu"``, ``"tanh"`` or ``"sigmoid"``.
    weight : of the penalty; by default 1e-3, and 1 / features for a variational one, which fits losses that are means
        over the features.
    penalty, rate : of a sparse code: ``"kl"`` keeps the mean activation at `rate`, ``"l1"`` draws units towards 0.
    noise, amount : of ``"denoising"``: the probability of masking, or the standard deviation of the noise.
    dropout : after each hidden activation.
    first : layers placed before the encoder, such as a `Standardize`.

    Raises
    ------
    ConfigurationError
        The kind or an argument is unknown.

    Examples
    --------
    >>> model = gs.autoencoder(64, code=2, hidden=[32])
    >>> trainer = gs.Trainer(model, gs.MSELoss(), gs.Adam(lr=1e-3), seed=0)
    >>> history = trainer.fit(x, x, epochs=1, verbose=False)
    >>> encoder, decoder = model
    >>> encoder(x[:5]).shape
    (5, 2)
    """
    hidden = (hidden,) if isinstance(hidden, int) else hidden
    kinds = {name: each for name, each in activations().items() if each is not Maxout}  # needs wider layers
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
