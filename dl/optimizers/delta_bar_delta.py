"""Delta-bar-delta."""

from __future__ import annotations

from typing import Any

from ...backends.errors import ConfigurationError
from ...kernels.tracing import xp
from ..values import require_number
from .base import Optimizer
from .formula import FormulaOptimizer


class DeltaBarDelta(FormulaOptimizer):
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

    Examples
    --------
    >>> trainer = gs.Trainer(gs.Sequential(gs.Linear(64, 10)), gs.CrossEntropyLoss(), gs.DeltaBarDelta(lr=1e-2), seed=0)
    >>> history = trainer.fit(x, y, epochs=3, batch_size=len(x), verbose=False)
    """

    full_batch = True
    fixed = ("lr",)  # where the rates of all weights began

    def __init__(
        self, lr: float = 1e-2, kappa: float = 0.01, phi: float = 0.1, theta: float = 0.7, weight_decay: float = 0.0
    ) -> None:
        Optimizer.__init__(self, lr, weight_decay)
        self.kappa, self.phi, self.theta = kappa, phi, theta
        if lr == 0:
            raise ConfigurationError("DeltaBarDelta: lr is 0; expected a number above 0")
        require_number(self, kappa=kappa, at_least=0)
        require_number(self, phi=phi, theta=theta, at_least=0, below=1)

    @property
    def initial(self) -> dict[str, float]:
        return {"rates": self.lr}

    @staticmethod
    def formula(p: Any, g: Any, rates: Any, trend: Any, *, lr: Any, kappa: Any, phi: Any, theta: Any) -> Any:
        sign = trend * g
        rates = xp.where(sign > 0.0, rates + kappa, xp.where(sign < 0.0, (1 - phi) * rates, rates))
        return p - lr * rates * g, rates, (1 - theta) * g + theta * trend

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        return super().constants(step, lr / self.lr)  # the rates are states; a schedule's factor multiplies the step
