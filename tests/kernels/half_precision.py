"""Models with every kind of layer, loss and penalty, and their data, for tests of half precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import gearshift as gs

PRECISIONS = ("bfloat16", "float16")
OFF = {"bfloat16": 0.03, "float16": 0.02}
"""How far, of float32's, the loss of any epoch may be."""
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((200, 8)).astype(np.float32)
LABELS = (X[:, :3] + X[:, 3:6] ** 2).argmax(axis=1)
CODES = (1 / (1 + np.exp(-X[:, :4] @ RANDOM.standard_normal((4, 8))))).astype(np.float32)
TOKENS = np.cumsum(RANDOM.integers(0, 2, (80, 5)), axis=1)
NEXT = np.roll(TOKENS, -1, axis=1)


Kind = tuple[Callable[[], gs.Layer], Callable[[], gs.Loss], Any, Any]


def heads() -> gs.Loss:
    return gs.JointLoss(kind=gs.Head(gs.CrossEntropyLoss(), 3), size=gs.Head(gs.MSELoss(), 8, weight=0.5))


def branches() -> gs.Layer:
    """Two inputs, of which one is standardised: it reads data as they are."""
    a, b = gs.Input(2), gs.Input(6)
    h = gs.Concatenate()(gs.Tanh()(gs.Linear(2, 5)(gs.Standardize(2)(a))), gs.Linear(6, 4)(b))
    return gs.Model((a, b), gs.Linear(9, 3)(gs.ReLU()(h)))


def variational() -> gs.Layer:
    return gs.Sequential(
        gs.MaskingNoise(0.1), gs.Linear(8, 12), gs.Tanh(), gs.Variational(12, 3, 0.02), gs.Linear(3, 8)
    )


KINDS: dict[str, Kind] = {
    "batch normalisation": (
        lambda: gs.Sequential(
            gs.Linear(8, 24), gs.BatchNorm1d(24), gs.ReLU(), gs.Linear(24, 12), gs.BatchNorm1d(12), gs.Linear(12, 3)
        ),
        gs.CrossEntropyLoss, X, LABELS,
    ),
    "sparse and contractive code": (
        lambda: gs.Sequential(
            gs.Contractive(8, 12, weight=1e-2), gs.KLSparsity(1e-2, 0.2), gs.L1Activity(1e-3), gs.Linear(12, 8)
        ),
        gs.BCEWithLogitsLoss, CODES, CODES,
    ),
    "transformer": (
        lambda: gs.Sequential(
            gs.Embedding(6, 8, 5), gs.TransformerBlock(8, 2, 12, dropout=0.1), gs.LayerNorm(8), gs.Linear(8, 6)
        ),
        gs.CrossEntropyLoss, TOKENS, NEXT,
    ),
    "variational": (variational, gs.MSELoss, CODES, CODES),
    "maxout, noise, two heads": (
        lambda: gs.Sequential(gs.GaussianNoise(0.1), gs.Linear(8, 24), gs.Maxout(2), gs.Linear(12, 11)),
        heads, X, (LABELS, CODES),
    ),
    "two inputs": (branches, gs.MulticlassHingeLoss, X, LABELS),
}  # fmt: skip


def trainer(name: str, precision: str, seed: int = 0, backend: str = "numpy", **given: Any) -> gs.Trainer:
    model, loss, _, _ = KINDS[name]
    optimizer = given.pop("optimizer", None) or gs.Adam(lr=0.01)
    return gs.Trainer(model(), loss(), optimizer, seed=seed, backend=backend, precision=precision, **given)


def fit(run: gs.Trainer, name: str, epochs: int = 4, rows: int | None = None, **given: Any) -> np.ndarray:
    _, _, x, y = KINDS[name]
    if rows is not None:
        x, y = x[:rows], tuple(part[:rows] for part in y) if isinstance(y, tuple) else y[:rows]
    history = run.fit((x, y), validation=(x, y), epochs=epochs, batch_size=32, verbose=False, **given)
    return np.array([record[key] for record in history.records for key in ("loss", "validation_loss")])
