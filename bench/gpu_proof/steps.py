"""Training steps of a network on one resident batch, over and over."""

from __future__ import annotations

from ...backends import Backend
from ..peers.gearshift_contender import Gearshift, GearshiftSteps
from ..peers.networks import DenseNetwork, batch, parse, weights
from .scale import Scale

LONGEST = 2e12  # floating-point operations of a step that is timed: some 40 ms in float32


def points(scale: Scale) -> list[tuple[str, int]]:
    """Networks and batch sizes whose steps are timed; the few that would take minutes are left out."""
    weights = {text: sum(i * o for i, o in parse(text).shapes) for text in scale.networks}
    return [(text, rows) for text in scale.networks for rows in scale.batch_sizes if 6 * weights[text] * rows < LONGEST]


class ProofSteps(GearshiftSteps):
    """The steps of a network in a precision; `run` waits for the device."""

    def __init__(self, backend: Backend, network: DenseNetwork, rows: int, precision: str = "float32") -> None:
        self.backend = backend
        trainer = Gearshift(backend.name, precision).trainer(network, weights(network))
        super().__init__(trainer, *batch(network, rows))

    def run(self, steps: int) -> None:
        self.stepper.take(steps)
        self.backend.synchronize()
