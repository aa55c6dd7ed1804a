"""AdaDelta."""

from __future__ import annotations

from typing import Any

from ...kernels.tracing import xp
from ..values import require_number
from .base import Optimizer
from .formula import FormulaOptimizer


class Adadelta(FormulaOptimizer):
    """Adadelta (Zeiler 2012), as torch.optim.Adadelta: p ← p − lr · Δ with Δ = √(u + eps) / √(r + eps) · g.

    r is the running mean of g² and u that of Δ². The step has the units of p, so it needs no learning rate.

    Parameters
    ----------
    lr : factor of the step.
    rho : decay rate of the running means r and u.
    eps : added inside the square roots; it determines the size of the first steps.
    weight_decay : L2 penalty; weight_decay · p is added to g.

    Raises
    ------
    ConfigurationError
        An argument is not a number, or out of its range.

    Examples
    --------
    >>> p, optimizer = np.array([1.0, 1.0]), gs.Adadelta()
    >>> optimizer.update(p, np.array([100.0, 0.1]), optimizer.init(p))  # a step as long for both gradients
    >>> p.round(4)
    array([0.9968, 0.9968])
    """

    def __init__(self, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0) -> None:
        Optimizer.__init__(self, lr, weight_decay)
        self.rho, self.eps = rho, eps
        require_number(self, rho=rho, at_least=0, below=1)
        require_number(self, eps=eps, at_least=0)

    @staticmethod
    def formula(p: Any, g: Any, square: Any, moved: Any, *, lr: Any, rho: Any, eps: Any) -> Any:
        square = rho * square + (1 - rho) * g * g
        change = xp.sqrt(moved + eps) / xp.sqrt(square + eps) * g
        return p - lr * change, square, rho * moved + (1 - rho) * change * change
