"""Delta-bar-delta."""

from __future__ import annotations

from ...backends.errors import ConfigurationError
from ...kernels.updates import delta_bar_delta
from .base import Optimizer


class DeltaBarDelta(Optimizer):
    """Delta-bar-delta (Jacobs 1988): a learning rate per weight, from the signs of successive gradients; full batch.

    Where δ̄ g > 0 the rate grows by `kappa`, where δ̄ g < 0 it shrinks by its share `phi`; then
    δ̄ ← (1 − theta) g + theta δ̄, and p ← p − rate · g.

    Parameters
    ----------
    lr : initial learning rate of every weight, above 0.
    kappa : increment of a growing rate.
    phi : relative decrease of a shrinking rate.
    theta : decay rate of δ̄.
    weight_decay : L2 penalty; weight_decay · p is added to g.

    Raises
    ------
    ConfigurationError
        An argument is not a number, or out of its range.
    """

    operation = delta_bar_delta.DELTA_BAR_DELTA
    slots = ("rates", "trend")
    full_batch = True
    fixed = ("lr",)  # where the rates of all weights began

    def __init__(
        self, lr: float = 1e-2, kappa: float = 0.01, phi: float = 0.1, theta: float = 0.7, weight_decay: float = 0.0
    ) -> None:
        super().__init__(lr, weight_decay)
        self.kappa, self.phi, self.theta = kappa, phi, theta
        if lr == 0:
            raise ConfigurationError("DeltaBarDelta: lr is 0; expected a number above 0")
        self._at_least("kappa", 0)
        self._at_least("phi", 0, below=1)
        self._at_least("theta", 0, below=1)

    @property
    def initial(self) -> dict[str, float]:
        return {"rates": self.lr}

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        return lr / self.lr, self.kappa, 1 - self.phi, self.theta, 1 - self.theta
