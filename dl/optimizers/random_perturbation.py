"""Trial and error: the baseline that shows what gradients buy."""

from __future__ import annotations

from typing import Any

from ...backends.errors import ConfigurationError
from ...kernels import sgd
from .base import Optimizer


class RandomPerturbation(Optimizer):
    """Adds normal noise of deviation `lr` to all parameters, and keeps it where the batch's loss falls.

    Parameters
    ----------
    lr : deviation of the noise.

    Raises
    ------
    ConfigurationError
        It is driven by hand: without losses there is nothing to compare.
    """

    operation = sgd.SGD
    slots = ("velocity",)
    on_host = True

    def __init__(self, lr: float = 1e-2) -> None:
        super().__init__(lr, 0.0)

    @property
    def states(self) -> tuple[str, ...]:
        return ()

    @property
    def attributes(self) -> dict[str, int | float]:
        return {"moving": 0}

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        return lr, 0.0, 1.0, 1.0, 0.0

    def update(self, p: Any, g: Any, state: Any) -> None:
        raise ConfigurationError("RandomPerturbation compares losses, not gradients: it needs a Trainer")
