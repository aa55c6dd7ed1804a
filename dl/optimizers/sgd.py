"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from ...backends.errors import ConfigurationError
from ...kernels.updates import sgd
from ..values import require_number
from .base import Optimizer


class SGD(Optimizer):
    """SGD with momentum, as torch.optim.SGD: p ← p − lr · v, v ← momentum · v + (1 − dampening) · g; first v = g.

    Parameters
    ----------
    lr : learning rate.
    momentum : the momentum factor.
    dampening : dampening of the gradient in the velocity.
    weight_decay : L2 penalty; weight_decay · p is added to g.
    nesterov : whether to use Nesterov momentum (Sutskever et al. 2013); requires momentum and no dampening.

    Raises
    ------
    ConfigurationError
        An argument is not a number, or out of its range.

    Examples
    --------
    >>> p, optimizer = np.array([1.0, 2.0]), gs.SGD(lr=0.1)
    >>> optimizer.update(p, np.array([5.0, -5.0]), optimizer.init(p))
    >>> p
    array([0.5, 2.5])
    """

    operation = sgd.SGD
    slots = ("velocity",)
    proportional = True

    def __init__(
        self,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov
        require_number(self, momentum=momentum, dampening=dampening, at_least=0)
        self._is_flag("nesterov")
        if nesterov and (momentum == 0 or dampening != 0):
            raise ConfigurationError(
                f"SGD: nesterov needs momentum above 0 and dampening 0; got momentum={momentum}, dampening={dampening}"
            )

    @property
    def states(self) -> tuple[str, ...]:
        return self.slots if self.momentum else ()

    @property
    def attributes(self) -> dict[str, int | float]:
        return {"moving": int(self.momentum != 0)}

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        gain = 1 - self.dampening if step else 1.0
        ahead, carry = (1.0, self.momentum) if self.nesterov else (0.0, 1.0)
        return lr, self.momentum, gain, ahead, carry
