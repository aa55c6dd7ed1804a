"""The networks that are compared, with the weights, batches and data sets for every contender."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError

LR, BETAS, EPS = 1e-3, (0.9, 0.999), 1e-8
EPOCH_BATCH, EPOCH_ROWS, PIXELS, CLASSES = 128, 19_200, 784, 10
AUTOENCODER = "autoencoder"
STEP_NETWORKS = ("784-128-10", "784-512-512-10", "784-1000-500-100-10", f"{AUTOENCODER} 784-128-32-128-784")
EPOCH_NETWORKS = ("784-100-10", *STEP_NETWORKS)
BATCH_SIZES = (1, 8, 32, 128, 512, 2048)

Weights = list[tuple[np.ndarray, np.ndarray]]
"""W (in, out) and b (out,) of each layer, float32."""


@dataclass(frozen=True)
class DenseNetwork:
    """A dense network: ReLU between layers, then softmax cross-entropy, or mean squared error in an autoencoder."""

    widths: tuple[int, ...]
    autoencoder: bool = False

    @property
    def name(self) -> str:
        """As `parse` takes it."""
        return f"{AUTOENCODER} " * self.autoencoder + "-".join(map(str, self.widths))

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(in, out) of each layer."""
        return list(pairwise(self.widths))

    @property
    def epoch_rows(self) -> int:
        """Rows of the data set in an epoch; 0 for all."""
        return 0 if self.widths == (PIXELS, 100, CLASSES) else EPOCH_ROWS


def parse(name: str) -> DenseNetwork:
    """The network called `name`, as ``"784-128-10"`` or ``"autoencoder 784-32-784"``; just ``"autoencoder"`` is the
    one of the table.

    Raises
    ------
    ConfigurationError
        The name is no such network.
    """
    if name.strip() == AUTOENCODER:
        return parse(STEP_NETWORKS[-1])
    kind, _, text = name.strip().rpartition(" ")
    widths = text.split("-")
    good = kind in ("", AUTOENCODER) and len(widths) > 1 and all(width.isdecimal() and int(width) for width in widths)
    if not good:
        raise ConfigurationError(
            f"network {name!r} is not known; expected widths as 784-128-10, or {AUTOENCODER} 784-32-784"
        )
    network = DenseNetwork(tuple(map(int, widths)), bool(kind))
    if network.autoencoder and network.widths[0] != network.widths[-1]:
        raise ConfigurationError(f"network {name!r} gives {widths[-1]} outputs; an autoencoder has as many as inputs")
    return network


def weights(network: DenseNetwork, seed: int = 0) -> Weights:
    """Initial weights, normal with variance 2 / in (He et al. 2015), and biases 0."""
    generator = np.random.default_rng([seed, 1])
    return [
        (
            generator.standard_normal(shape, dtype=np.float32) * np.float32(math.sqrt(2 / shape[0])),
            np.zeros(shape[1], dtype=np.float32),
        )
        for shape in network.shapes
    ]


def batch(network: DenseNetwork, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A batch: standard normal features, float32, and labels, int64; an autoencoder's targets are its features."""
    generator = np.random.default_rng([seed, 2])
    x = generator.standard_normal((rows, network.widths[0]), dtype=np.float32)
    return x, x if network.autoencoder else generator.integers(0, network.widths[-1], rows)


@dataclass(frozen=True)
class Pixels:
    """Rows of images, and what standardises them.

    Attributes
    ----------
    raw : (n, width) uint8.
    y : (n,) labels, int64.
    mean, std : (width,) of each feature.
    real : whether this is Fashion-MNIST, or random bytes in its stead.
    """

    raw: np.ndarray
    y: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    real: bool

    def first(self, rows: int) -> Pixels:
        """The leading rows."""
        return replace(self, raw=self.raw[:rows], y=self.y[:rows])

    def standardized(self) -> np.ndarray:
        """The features with mean 0 and deviation 1, float32."""
        return (self.raw - self.mean.astype(np.float32)) * (1 / self.std).astype(np.float32)


def pixels(network: DenseNetwork) -> Pixels:
    """The rows of an epoch: Fashion-MNIST where it is installed and fits, else random bytes of the same shape."""
    from ...dl.data import load_dataset

    if network.widths[0] == PIXELS and (network.autoencoder or network.widths[-1] == CLASSES):
        try:
            data = load_dataset("fashion-mnist", seed=0)
        except DataError:
            pass
        else:
            rows = slice(network.epoch_rows or None)
            return Pixels(data.train.x[rows], data.train.y[rows], *data.standardization(), real=True)
    return random_pixels(network, network.epoch_rows or 54_000)


def random_pixels(network: DenseNetwork, rows: int) -> Pixels:
    """Random bytes, with labels."""
    generator, width = np.random.default_rng(3), network.widths[0]
    raw = generator.integers(0, 256, (rows, width), dtype=np.uint8)
    y = generator.integers(0, network.widths[-1], rows)
    return Pixels(raw, y, np.full(width, 127.5), np.full(width, 73.9), real=False)


def loss(network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray) -> float:
    """The mean loss of rows x with these weights, in float64, to compare what epochs have learned."""
    z: Any = x.astype(np.float64)
    for position, (w, b) in enumerate(layers):
        z = np.maximum(z, 0) if position else z
        z = z @ w.astype(np.float64) + b
    if network.autoencoder:
        return float(np.mean((z - y) ** 2))
    z -= z.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), y]))
