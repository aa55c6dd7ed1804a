"""Trains every case, on one rank or several, and writes what came out: python rank_cases.py BACKEND FILE."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import gearshift as gs
from gearshift.backends.launch import ranks

RANDOM = np.random.default_rng(0)
X, Y, Z = RANDOM.standard_normal((103, 6)), RANDOM.integers(0, 3, 103), RANDOM.standard_normal((103, 3))
W = RANDOM.uniform(0.1, 2, 103)
TOKENS, NEXT = RANDOM.integers(0, 5, (103, 4)), RANDOM.integers(0, 5, (103, 4))
STEPS = 105  # 15 epochs of 6 batches of 17 rows and one of a single row


def mlp(*layers: gs.Layer, outputs: int = 3) -> gs.Sequential:
    return gs.Sequential(gs.Linear(6, 8), *layers, gs.Linear(8, outputs), dtype="float64").init(2)


def cases() -> dict[str, tuple[gs.Layer, gs.Loss, dict[str, Any], Any, dict[str, Any]]]:
    """Model, loss, what the trainer is given, data, and what fit is given."""
    adam = {"optimizer": gs.Adam(lr=1e-2, weight_decay=0.01), "clip_norm": 0.5}
    attention = gs.Residual(gs.Sequential(gs.LayerNorm(6), gs.MultiHeadAttention(6, heads=2, causal=True, dropout=0.2)))
    language = gs.Sequential(gs.Embedding(5, 6, length=4), attention, gs.Dropout(0.3), gs.Linear(6, 5), dtype="float64")
    joint = gs.JointLoss(label=gs.Head(gs.CrossEntropyLoss(), 3), value=gs.Head(gs.MSELoss(), 3))
    code = gs.Sequential(gs.Linear(6, 4), gs.Variational(4, 2, weight=0.1), gs.Linear(2, 3), dtype="float64").init(2)
    ce, mse = gs.CrossEntropyLoss(), gs.MSELoss()
    return {
        "dropout": (mlp(gs.Tanh(), gs.Dropout(0.3)), ce, adam, (X, Y), {}),
        "weights": (mlp(gs.ReLU(), gs.GaussianNoise(0.1)), ce, adam, (X, Y, W), {}),
        "parts": (mlp(gs.ReLU(), gs.Dropout(0.5)), ce, adam, (X, Y, W), {"accumulate": 3}),
        "nesterov": (
            mlp(gs.GELU()),
            mse,
            {"optimizer": gs.Nesterov(lr=0.02), "clip_value": 0.1, "regularizer": gs.L1(1e-3)},
            (X, Z),
            {"order": "replacement"},
        ),
        "penalty": (code, mse, {"optimizer": gs.RMSprop(lr=1e-3)}, (X, Z), {}),
        "losses": (mlp(gs.Tanh(), outputs=6), joint, adam, (X, (Y, Z)), {}),
        "sequences": (language.init(2), ce, {"optimizer": gs.Momentum(lr=0.05)}, (TOKENS, NEXT), {}),
    }


def main(backend: str, file: str) -> None:
    found: dict[str, Any] = {}
    for name, (model, loss, given, data, more) in cases().items():
        trainer = gs.Trainer(model, loss, backend=backend, seed=5, **given)
        history = trainer.fit(data, validation=data, epochs=15, batch_size=17, verbose=False, **more)
        assert trainer.step == STEPS
        found[name] = np.concatenate([value.ravel() for value in model.state_dict().values()])
        found |= {f"{name} {measure}": history[measure] for measure in ("loss", "validation_loss")}
    if ranks().rank == 0:
        np.savez(file, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
