"""Base class of optimizers that evaluate losses within a step."""

from __future__ import annotations

from ...kernels.updates import sgd
from .base import Optimizer


class OnHost(Optimizer, named=False):
    """Base class of optimizers that compute a direction on the host; the device applies p ← p − lr · direction."""

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
