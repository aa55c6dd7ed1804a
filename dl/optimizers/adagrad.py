"""AdaGrad."""

from __future__ import annotations

from typing import Any

from ...kernels.tracing import xp
from ..values import require_number
from .base import Optimizer
from .formula import FormulaOptimizer


class Adagrad(FormulaOptimizer):
    """Adagrad (Duchi et al. 2011), as torch.optim.Adagrad: r ← r + g²; p ← p − lr · g / (√r + eps).

    The lecture notes' constant is ``eps=1e-6``.

    Parameters
    ----------
    lr : learning rate.
    lr_decay : the rate at step t, from 0, is divided by 1 + t · lr_decay.
    weight_decay : L2 penalty; weight_decay · p is added to g.
    initial_accumulator_value : initial value of r.
    eps : added to the denominator.

    Raises
    ------
    ConfigurationError
        An argument is not a number, or out of its range.

    Examples
    --------
    >>> p, optimizer = np.array([0.0]), gs.Adagrad(lr=0.1)
    >>> state = optimizer.init(p)
    >>> for _ in range(3):  # steps of 0.1, 0.1 / √2 and 0.1 / √3
    ...     optimizer.update(p, np.array([-5.0]), state)
    >>> p.round(4)
    array([0.2284])
    """

    def __init__(
        self,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        Optimizer.__init__(self, lr, weight_decay)
        self.lr_decay, self.initial_accumulator_value, self.eps = lr_decay, initial_accumulator_value, eps
        require_number(
            self, at_least=0, lr_decay=lr_decay, initial_accumulator_value=initial_accumulator_value, eps=eps
        )

    @staticmethod
    def formula(p: Any, g: Any, square: Any, *, lr: Any, start: Any, eps: Any) -> Any:
        square = square + g * g
        return p - lr * (g / (xp.sqrt(start + square) + eps)), square

    def settings(self, step: int) -> dict[str, float]:
        return {"start": self.initial_accumulator_value, "eps": self.eps}  # so that the state begins at 0

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        return super().constants(step, lr / (1 + step * self.lr_decay))
