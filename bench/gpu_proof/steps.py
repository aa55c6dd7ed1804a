"""Training steps of a network on one resident batch, over and over."""

from __future__ import annotations

import numpy as np

from ...backends import Backend
from ...dl.data import Dataset
from ...dl.dense_chain import plan_of
from ...dl.program import step_of
from ...dl.resident import Resident
from ...dl.state import TABLE
from ...dl.trainer import Trainer
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
        order = backend.asarray(np.tile(np.arange(rows, dtype=np.int64), self.epoch))
        shared = {**state.shared, **data.shared, "order": order}
        program = step_of(trainer, network.widths[0], state.arena.size)
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
