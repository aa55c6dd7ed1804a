"""Epochs of the training loop.

    pytest bench/suites/test_epochs.py --benchmark-only -k "batch128 and numba"

Shuffling, gathering and standardising bytes, steps, and a last batch that is shorter.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gearshift.backends import Backend
from gearshift.bench.peers.gearshift_contender import Gearshift, LoopEpochs
from gearshift.bench.peers.networks import STEP_NETWORKS, DenseNetwork, Pixels, parse, weights

ROWS = 2500


@pytest.mark.parametrize("name", STEP_NETWORKS, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("batch_size", (32, 128, 512), ids="batch{}".format)
def test_epoch(timed: Callable[..., None], backend: Backend, name: str, batch_size: int) -> None:
    """One epoch of Adam on images that are stored as bytes."""
    network = parse(name)
    epochs = Gearshift(backend.name).epochs(network, weights(network), images(network), batch_size)
    assert isinstance(epochs, LoopEpochs)
    trainer, plan = epochs.trainer, epochs.loop.plan
    steps, rest = divmod(ROWS, batch_size)
    costs = plan.costs(batch_size) * steps + (plan.costs(rest) if rest else [])
    timed(epochs.run, f"epoch {name}, batch {batch_size}", costs, trainer.model.dtype, rows=ROWS)


def images(network: DenseNetwork) -> Pixels:
    """Random bytes in the shape of images, with labels."""
    random = np.random.default_rng(0)
    width = network.widths[0]
    raw = random.integers(0, 256, (ROWS, width), dtype=np.uint8)
    labels = random.integers(0, network.widths[-1], ROWS)
    return Pixels(raw, labels, np.full(width, 127.5), np.full(width, 73.9), real=False)
