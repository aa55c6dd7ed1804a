"""General models that are compared, beside plain MLPs: what each is, and its data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...backends.errors import ConfigurationError

TOKENS, VOCABULARY, WIDTH, HEADS, CLASSES = 64, 2000, 128, 4, 10


@dataclass(frozen=True)
class GeneralModel:
    """A model and the work of an epoch.

    Parameters
    ----------
    batch, rows : rows of a batch and of an epoch.
    features : features of a row; 0 for tokens.
    values : whether the targets are numbers, (rows, CLASSES), instead of labels, (rows,).
    """

    batch: int
    rows: int
    features: int = 784
    values: bool = False


MODELS = {
    "dropout": GeneralModel(64, 6400),
    "batch norm": GeneralModel(64, 6400),
    "residual": GeneralModel(64, 6400),
    "own formulas": GeneralModel(64, 6400, values=True),
    "wide": GeneralModel(256, 2560, features=1024),
    "embedding": GeneralModel(64, 6400, features=0),
    "transformer": GeneralModel(32, 640, features=0),
}
"""Adam trains all of them.

- dropout: 784-512-512-10, ReLU and dropout of 0.2 after each hidden layer.
- batch norm: 784-512-512-10, batch normalisation and ReLU after each hidden layer.
- residual: 784-256, three residual blocks (layer norm, 256-512, GELU, 512-256), 256-10.
- own formulas: 784-256-256-10 with SiLU and the Huber loss, which are formulas of arrays, as users write them.
- wide: 1024-2048-2048-10, ReLU.
- embedding: the mean of 64 vectors of size 128, 128-10.
- transformer: 64 tokens of size 128, two pre-norm blocks with 4 heads, mean pooling, 128-10.
"""


def parse(name: str) -> GeneralModel:
    """The model called `name`.

    Raises
    ------
    ConfigurationError
        There is none.
    """
    if name not in MODELS:
        raise ConfigurationError(f"model {name!r} is not known; expected one of: {', '.join(MODELS)}")
    return MODELS[name]


def data(model: GeneralModel) -> tuple[np.ndarray, np.ndarray]:
    """Rows (rows, features) float32 or tokens (rows, TOKENS) int64, and targets that depend on them."""
    random = np.random.default_rng(7)
    if not model.features:
        x = random.integers(0, VOCABULARY, (model.rows, TOKENS))
        return x, (x[:, :8].sum(axis=1) // 8 * CLASSES // VOCABULARY).astype(np.int64)
    x = random.standard_normal((model.rows, model.features), dtype=np.float32)
    values = x @ random.standard_normal((model.features, CLASSES), dtype=np.float32) / np.sqrt(model.features)
    return x, values.astype(np.float32) if model.values else values.argmax(axis=1)
