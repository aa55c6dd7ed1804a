"""What optimizers have in common that ask for losses in the middle of a step."""

from __future__ import annotations

from ...kernels.updates import sgd
from .base import Optimizer


class OnHost(Optimizer, named=False):
    """Base of optimizers that find a direction on the host; the device takes p ← p − lr · direction."""

    operation = sgd.SGD
    slots = ("velocity",)
    on_host = True

    @property
    def states(self) -> tuple[str, ...]:
        return ()

    @property
    def attributes(self) -> dict[str, int | float]:
        return {"moving": 0}

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        return lr, 0.0, 1.0, 1.0, 0.0
