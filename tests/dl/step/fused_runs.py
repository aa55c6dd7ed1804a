"""Trainers of dense networks and their data, for the tests of the fused MLP."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

import gearshift as gs
from gearshift.dl.step.plan import Plan
from gearshift.dl.training.loop import Loop

CPUS = ("numba", "numpy")


def trainer(
    widths: tuple[int, ...],
    backend: str,
    *,
    loss: gs.Loss | None = None,
    optimizer: gs.Optimizer | None = None,
    bias: bool = True,
    hidden: type[gs.Layer] | None = gs.ReLU,
    dtype: str = "float64",
    standardize: bool = False,
    **more,
) -> gs.Trainer:
    layers: list[gs.Layer] = []
    if standardize:
        layers.append(gs.Standardize(widths[0]).fit(np.linspace(-1, 1, widths[0]), np.linspace(1, 2, widths[0])))
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        layers.append(gs.Linear(inputs, outputs, bias=bias))
        if hidden is not None and i < len(widths) - 2:
            layers.append(hidden())
    model = gs.Sequential(*layers, dtype=dtype)
    return gs.Trainer(model, loss or gs.CrossEntropyLoss(), optimizer or gs.Adam(lr=1e-2), backend=backend, **more)


def rows_of(widths: tuple[int, ...], n: int, classes: bool = True, seed: int = 0) -> gs.Dataset:
    random = np.random.default_rng(seed)
    y = random.integers(0, widths[-1], n) if classes else random.uniform(size=(n, widths[-1]))
    return gs.Dataset(random.normal(size=(n, widths[0])), y)


def fitted(run: gs.Trainer, data: gs.Dataset, batch: int, epochs: int = 2) -> dict[str, np.ndarray]:
    run.fit(data, epochs=epochs, batch_size=batch, verbose=False)
    return run.model.state_dict()


def plan_of(run: gs.Trainer, data: gs.Dataset, batch: int) -> Plan:
    return Loop(run, data, None, batch).plan


def bytes_of(width: int, n: int, seed: int = 0) -> tuple[gs.Dataset, gs.Standardize]:
    """Bytes, and a standardisation that some columns make hard: constant, nearly constant, far from their mean."""
    random = np.random.default_rng(seed)
    x = random.integers(0, 256, (n, width)).astype(np.uint8)
    x[:, ::5], x[:, 1::7] = 0, random.integers(200, 202, (n, len(range(1, width, 7))))
    mean, std = x.mean(0) + random.uniform(-0.5, 0.5, width), np.maximum(x.std(0), 0.3)
    mean[2::9] = random.uniform(-300, 500, len(mean[2::9]))
    std[2::9] = 200
    return gs.Dataset(x, random.integers(0, 10, n)), gs.Standardize(width).fit(mean, std)
