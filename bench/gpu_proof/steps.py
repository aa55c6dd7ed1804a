"""Training steps of a network on one resident batch, over and over."""

from __future__ import annotations

import numpy as np

from ...backends import Backend
from ...dl.data import Dataset
from ...dl.dense_chain import plan_of
from ...dl.program import training
from ...dl.resident import Resident
from ...dl.state import TABLE
from ..peers.gearshift_contender import Gearshift
from ..peers.networks import Network, batch, weights


class Steps:
    """What `Trainer.fit` runs, on an epoch whose order names the batch's rows again and again."""

    def __init__(self, backend: Backend, network: Network, rows: int, precision: str = "float32") -> None:
        self.backend, self.rows = backend, rows
        trainer = Gearshift(backend.name).trainer(network, weights(network))
        self.state = state = trainer.state
        data = Resident(backend, Dataset(*batch(network, rows)))
        self.epoch = max(1, min(TABLE, (1 << 24) // rows))  # steps of an epoch
        order = backend.asarray(np.tile(np.arange(rows, dtype=np.int64), self.epoch))
        shared = {**state.shared, **data.shared, "order": order}
        width, tf32 = network.widths[0], precision == "tf32"
        program = training(trainer.model, trainer.loss, trainer.optimizer, width, state.arena.size, None, tf32)
        self.plan = plan_of(program.graph, backend, state.arena, shared, rows)

    def run(self, steps: int) -> None:
        """Runs steps and waits for the device."""
        while steps:
            if self.state.cursor >= self.epoch * self.rows:
                self.state.begin_epoch()
            left = self.epoch - self.state.cursor // self.rows
            done = self.plan.run(self.rows, self.state.prepare(min(steps, left)))
            self.state.advanced(done, self.rows)
            steps -= done
        self.backend.synchronize()
