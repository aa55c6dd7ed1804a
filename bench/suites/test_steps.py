"""Training steps against batch size.

    pytest bench/suites/test_steps.py --benchmark-only -k "784-128-10 and numba"

A timing is of several steps, as many as `extra_info["steps"]` says: the loop starts many at once, too.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

import gearshift as gs
from gearshift.backends import Backend
from gearshift.bench.peers.gearshift_contender import Gearshift
from gearshift.bench.peers.networks import BATCH_SIZES, STEP_NETWORKS, batch, parse, weights
from gearshift.dl.training.loop import Loop

ROWS, MOST = 2048, 64  # of a timing: rows of small batches, and steps


@pytest.mark.parametrize("name", STEP_NETWORKS, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("batch_size", BATCH_SIZES, ids="batch{}".format)
def test_steps(timed: Callable[..., None], backend: Backend, name: str, batch_size: int) -> None:
    """Adam steps on batches that are resident on the device."""
    network, steps = parse(name), max(1, min(MOST, ROWS // batch_size))
    trainer = Gearshift(backend.name).trainer(network, weights(network))
    loop = Loop(trainer, gs.Dataset(*batch(network, steps * batch_size)), None, batch_size)
    state = trainer.state

    def run() -> None:
        state.begin_epoch()
        left = steps
        while left:
            left -= loop.stepper.run(left)

    costs = loop.plan.costs(batch_size) * steps
    timed(run, f"steps {name}, batch {batch_size}", costs, trainer.model.dtype, steps=steps)
