"""Epochs of the training loop.

    pytest bench/suites/test_epochs.py --benchmark-only -k "batch128 and numba"

Shuffling, gathering and standardising bytes, steps, and a last batch that is shorter.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gearshift.backends import Backend
from gearshift.bench.peers.gearshift_contender import Gearshift, LoopEpochs
from gearshift.bench.peers.networks import STEP_NETWORKS, parse, random_pixels, weights

ROWS = 2500


@pytest.mark.parametrize("name", STEP_NETWORKS, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("batch_size", (32, 128, 512), ids="batch{}".format)
def test_epoch(timed: Callable[..., None], backend: Backend, name: str, batch_size: int) -> None:
    """One epoch of Adam on images that are stored as bytes."""
    network = parse(name)
    epochs = Gearshift(backend.name).epochs(network, weights(network), random_pixels(network, ROWS), batch_size)
    assert isinstance(epochs, LoopEpochs)
    trainer, plan = epochs.trainer, epochs.loop.plan
    steps, rest = divmod(ROWS, batch_size)
    costs = plan.costs(batch_size) * steps + (plan.costs(rest) if rest else [])
    timed(epochs.run, f"epoch {name}, batch {batch_size}", costs, trainer.model.dtype, rows=ROWS)
