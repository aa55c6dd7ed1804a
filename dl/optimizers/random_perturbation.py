"""Random search: a baseline without gradients."""

from __future__ import annotations

from typing import Any

from ...backends.errors import ConfigurationError
from .on_host import OnHost


class RandomPerturbation(OnHost):
    """Adds normal noise to all parameters and keeps it if the batch loss decreases.

    Parameters
    ----------
    lr : standard deviation of the noise.

    Raises
    ------
    ConfigurationError
        It is used without a `Trainer`, so there are no losses to compare.

    Examples
    --------
    >>> trainer = gs.Trainer(gs.Sequential(gs.Linear(64, 10)), gs.CrossEntropyLoss(), gs.RandomPerturbation(lr=0.01))
    >>> history = trainer.fit(x, y, epochs=1, batch_size=len(x), verbose=False)
    """

    def __init__(self, lr: float = 1e-2) -> None:
        super().__init__(lr, 0.0)

    def update(self, p: Any, g: Any, state: Any) -> None:
        raise ConfigurationError("RandomPerturbation compares losses, not gradients; use it in a Trainer")
