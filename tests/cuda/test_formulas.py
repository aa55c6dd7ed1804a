"""Formulas on the real CuPy: a layer, an activation and a loss of one's own train in captured graphs as on NumPy."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import gearshift as gs

TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "bfloat16": 3e-2, "float16": 1e-2}


class GatedOnGPU(gs.Layer):
    def __init__(self, features: int) -> None:
        self.features = features
        self.inner = gs.Linear(features, features)
        self.gate = gs.Parameter((features,), gs.initializers.Full(0.5))

    def forward(self, x: Any) -> Any:
        return x + gs.xp.softmax(self.inner(x)) * gs.xp.sigmoid(self.gate * x)


@gs.activation
def swish_on_gpu(x: Any) -> Any:
    return x * gs.xp.sigmoid(x)


@gs.loss
def huber_on_gpu(output: Any, target: Any) -> Any:
    size = gs.xp.abs(output - target)
    return gs.xp.where(size <= 1.0, 0.5 * size * size, size - 0.5).mean(axis=-1)


def losses(backend: str, precision: str) -> list[float]:
    random = np.random.default_rng(0)
    x = random.standard_normal((200, 12)).astype(np.float32)
    dtype = "float64" if precision == "float64" else "float32"
    model = gs.Sequential(gs.Linear(12, 16), swish_on_gpu(), GatedOnGPU(16), gs.Linear(16, 3), dtype=dtype)
    trainer = gs.Trainer(model, huber_on_gpu(), gs.Adam(lr=1e-2), backend=backend, precision=precision, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of steps that are not captured
        return trainer.fit(x, np.sin(x[:, :3]), epochs=3, batch_size=20, verbose=False)["loss"]


@pytest.mark.parametrize("precision", TOLERANCE)
def test_formulas_train_in_captured_graphs(precision: str) -> None:
    exact = losses("numpy", "float64")
    assert losses("cupy", precision) == pytest.approx(exact, rel=TOLERANCE[precision])
