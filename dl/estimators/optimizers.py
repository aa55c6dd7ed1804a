"""scikit-learn's two stochastic solvers as this library's optimizers."""

from __future__ import annotations

from ..optimizers.adam import Adam
from ..optimizers.base import Optimizer
from ..optimizers.sgd import SGD


class UncorrectedEpsilonAdam(Adam, named=False):
    """Adam with ε beside the root of the uncorrected second moment (Kingma and Ba 2014, end of section 2)."""

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        *others, eps = super().constants(step, lr)
        return *others, eps * others[2]


def solver(
    name: str, rate: float, momentum: float, nesterov: bool, betas: tuple[float, float], eps: float
) -> Optimizer:
    """The optimizer of solver ``"adam"`` or ``"sgd"``; Nesterov's variant needs momentum."""
    if name == "adam":
        return UncorrectedEpsilonAdam(rate, betas, eps)
    return SGD(rate, momentum, nesterov=nesterov and momentum > 0)
