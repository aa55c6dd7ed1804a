"""Training steps of a network on one resident batch, over and over."""

from __future__ import annotations

import numpy as np

from ...backends import Backend
from ...dl.data import Dataset
from ...dl.data.resident import Resident
from ...dl.step.state import TABLE
from ...dl.step.stepper import Stepper
from ...dl.training.trainer import Trainer
from ..peers.gearshift_contender import Gearshift
from ..peers.networks import DenseNetwork, batch, parse, weights
from .scale import Scale

LONGEST = 2e12  # floating-point operations of a step that is timed: some 40 ms in float32


def points(scale: Scale) -> list[tuple[str, int]]:
    """Networks and batch sizes whose steps are timed; the few that would take minutes are left out."""
    weights = {text: sum(i * o for i, o in parse(text).shapes) for text in scale.networks}
    return [(text, rows) for text in scale.networks for rows in scale.batch_sizes if 6 * weights[text] * rows < LONGEST]


class ProofSteps:
    """What `Trainer.fit` runs, on an epoch whose order names the batch's rows again and again."""

    def __init__(self, backend: Backend, network: DenseNetwork, rows: int, precision: str = "float32") -> None:
        self.backend, self.rows = backend, rows
        plain = Gearshift(backend.name).trainer(network, weights(network))
        trainer = Trainer(plain.model, plain.loss, plain.optimizer, backend=backend.name, precision=precision)
        self.state = state = trainer.state
        data = Resident(backend, Dataset(*batch(network, rows)))
        self.epoch = max(1, min(TABLE, (1 << 24) // rows))  # steps of an epoch
        rows_read = data.in_order(np.tile(np.arange(rows, dtype=np.int64), self.epoch))
        self.stepper = Stepper(trainer.spec, state, rows_read, rows)
        self.plan = self.stepper.plan

    def run(self, steps: int) -> None:
        """Runs steps and waits for the device."""
        self.stepper.take(steps)
        self.backend.synchronize()
