"""Every array in a block of its own, between unmapped pages: all work touches its own arrays alone."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registering import registered

import gearshift as gs
from gearshift import backends
from gearshift.bench.batch.measure import peak_rates
from gearshift.bench.batch.measure.steps import TimedSteps
from gearshift.bench.gpu_proof import part
from gearshift.bench.gpu_proof.scale import SMALL
from gearshift.bench.gpu_proof.stand_in import PlainNumPy
from gearshift.dl.data.resident import Resident


@pytest.fixture(autouse=True)
def blocks() -> Iterator[None]:
    """CuPy's pool would put arrays beside each other, and keep what is freed."""
    cupy: Any = importlib.import_module("cupy")
    cupy.cuda.set_allocator(None)
    yield
    gc.collect()  # what was written beside a block shows when it is freed
    cupy.cuda.set_allocator(cupy.get_default_memory_pool().malloc)
    cupy.cuda.Device().synchronize()


MODELS: dict[str, Any] = {
    "dropout": lambda: gs.Sequential(gs.Linear(7, 13), gs.ReLU(), gs.Dropout(0.2), gs.Linear(13, 3)),
    "batch normalisation": lambda: gs.Sequential(gs.Linear(7, 13), gs.BatchNorm1d(13), gs.Tanh(), gs.Linear(13, 3)),
}


@pytest.mark.parametrize("model", MODELS)
def test_dense_models(model: str) -> None:
    """37 rows in batches of 5, and widths that are no multiples of 4."""
    random = np.random.default_rng(0)
    x, y = random.standard_normal((37, 7)).astype(np.float32), random.integers(0, 3, 37)
    losses = []
    for name in ("numpy", "cupy"):
        run = gs.Trainer(MODELS[model](), gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend=name, seed=1, clip_norm=1.0)
        run.fit(x, y, validation=(x, y), epochs=4, batch_size=5, verbose=False)
        losses.append(list(run.history["loss"]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_transformer() -> None:
    x, losses = np.random.default_rng(0).integers(0, 5, (30, 5)), []
    for name in ("numpy", "cupy"):
        model = gs.Sequential(gs.Embedding(5, 6, length=5), gs.TransformerBlock(6, 2), gs.Linear(6, 5))
        run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=0.1), backend=name, seed=1)
        losses.append(list(run.fit(x, (x + 1) % 5, epochs=3, batch_size=8, verbose=False)["loss"]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_peak_rates_of_launches(precision: str) -> None:
    """Kernels take sizes and places from arrays that were made small: each must still be true of the others."""
    random = np.random.default_rng(0)
    data = gs.Dataset(random.standard_normal((40, 30)).astype(np.float32), random.integers(0, 12, 40))
    model = gs.Sequential(gs.Linear(30, 40), gs.ReLU(), gs.Linear(40, 12))
    run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="cupy", precision=precision, clip_norm=1.0)
    timed = TimedSteps(run, Resident(run.backend, data), 8)
    timed.timed(3)
    found = peak_rates._launches(timed.plan)
    run.backend.synchronize()
    assert {call.node.operation.name for call in timed.plan.bind(8)} == found.keys()


@pytest.mark.long
def test_every_kernel_in_every_precision(tmp_path: Path) -> None:
    with registered(PlainNumPy):
        report = part.run(1, tmp_path, backends.get("cupy"), SMALL)
    failed = {check.name: check.error for check in report.checks if check.state == "failed"}
    assert not failed and len(report.checks) > 100
