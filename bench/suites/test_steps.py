"""A training step against batch size, on every backend that runs here.

    pytest bench/suites --benchmark-only --benchmark-group-by=param:backend

A benchmark's `extra_info` holds the step's floating-point operations and bytes, the backend, device and dtype.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.loop import Loop

BATCH_SIZES = (1, 8, 32, 128, 512, 2048)
NETWORKS = {"784-128-10": (784, 128, 10), "784-512-512-10": (784, 512, 512, 10)}


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("backend", ("numpy", "numba", "cupy"))
def test_step(benchmark, backend: str, network: str, batch_size: int) -> None:
    """One Adam step of a ReLU network with cross-entropy, data resident on the device."""
    status = gs.backends.available()[backend]
    if not status.runs:
        pytest.skip(f"{backend}: {status.reason}")
    widths = NETWORKS[network]
    random = np.random.default_rng(0)
    rows = 2 * batch_size
    data = gs.Dataset(random.normal(size=(rows, widths[0])).astype("float32"), random.integers(0, 10, rows))
    layers = [gs.Linear(widths[0], widths[1])]
    for before, after in pairwise(widths[1:]):
        layers += [gs.ReLU(), gs.Linear(before, after)]
    trainer = gs.Trainer(gs.Sequential(*layers), gs.CrossEntropyLoss(), gs.Adam(), backend=backend)
    loop = Loop(trainer, data, None, batch_size)
    work = loop.plan.work(batch_size)
    benchmark.extra_info.update(
        backend=backend,
        device=status.device,
        dtype=trainer.model.dtype,
        flops=sum(item.flops for item in work),
        bytes=sum(item.bytes for item in work),
        launches=sum(item.launches for item in work),
    )

    def step() -> None:
        trainer.state.begin_epoch()
        trainer.state.prepare(1)
        loop.plan.run(batch_size, 1)
        trainer.backend.synchronize()

    benchmark.group = f"step {network} batch {batch_size}"
    benchmark.pedantic(step, warmup_rounds=10, rounds=100)
