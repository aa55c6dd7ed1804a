"""AdaDelta."""

from __future__ import annotations

from ...kernels.updates import adadelta
from .base import Optimizer


class Adadelta(Optimizer):
    """torch.optim.Adadelta (Zeiler 2012): p ← p − lr · Δ with Δ = √(u + eps) / √(r + eps) · g.

    r is the running mean of g², u that of Δ²: the step has the units of p, and needs no rate.

    Parameters
    ----------
    lr : factor of the step.
    rho : share of r and u that is kept.
    eps : added below the roots; it sets the first steps' size.
    weight_decay : factor of p that is added to g.

    Raises
    ------
    ConfigurationError
        An argument is not a number, or out of its range.
    """

    operation = adadelta.ADADELTA
    slots = ("square", "moved")

    def __init__(self, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.rho, self.eps = rho, eps
        self._at_least("rho", 0, below=1)
        self._at_least("eps", 0)

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        return lr, self.rho, 1 - self.rho, self.eps
