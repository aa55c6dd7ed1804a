"""Trial and error: the baseline that shows what gradients buy."""

from __future__ import annotations

from typing import Any

from ...backends.errors import ConfigurationError
from .on_host import OnHost


class RandomPerturbation(OnHost):
    """Adds normal noise of deviation `lr` to all parameters, and keeps it where the batch's loss falls.

    Parameters
    ----------
    lr : deviation of the noise.

    Raises
    ------
    ConfigurationError
        It is driven by hand: without losses there is nothing to compare.
    """

    def __init__(self, lr: float = 1e-2) -> None:
        super().__init__(lr, 0.0)

    def update(self, p: Any, g: Any, state: Any) -> None:
        raise ConfigurationError("RandomPerturbation compares losses, not gradients: it needs a Trainer")
