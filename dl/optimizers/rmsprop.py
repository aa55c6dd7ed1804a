"""RMSProp."""

from __future__ import annotations

from ...kernels.updates import rmsprop
from ..values import require_number
from .base import Optimizer


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012), as torch.optim.RMSprop: p ← p − lr · g / (√s + eps), s the running mean of g².

    Parameters
    ----------
    lr : learning rate.
    alpha : decay rate of s.
    eps : added to the denominator.
    weight_decay : L2 penalty; weight_decay · p is added to g.
    momentum : the momentum factor; 0 for none.
    centered : whether to divide by the running standard deviation of g (Graves 2013).

    Raises
    ------
    ConfigurationError
        An argument is not a number, or out of its range.

    Examples
    --------
    >>> p, optimizer = np.array([1.0, 1.0]), gs.RMSprop(lr=0.01)
    >>> optimizer.update(p, np.array([100.0, 0.01]), optimizer.init(p))  # a step as long for both gradients
    >>> p.round(4)
    array([0.9, 0.9])
    """

    operation = rmsprop.RMSPROP
    slots = ("square", "mean", "velocity")

    def __init__(
        self,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.alpha, self.eps, self.momentum, self.centered = alpha, eps, momentum, centered
        require_number(self, alpha=alpha, at_least=0, below=1)
        require_number(self, eps=eps, momentum=momentum, at_least=0)
        self._is_flag("centered")

    @property
    def states(self) -> tuple[str, ...]:
        used = {"square": True, "mean": self.centered, "velocity": self.momentum != 0}
        return tuple(name for name in self.slots if used[name])

    @property
    def attributes(self) -> dict[str, int | float]:
        return {"centered": int(self.centered), "moving": int(self.momentum != 0)}

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        return lr, self.alpha, 1 - self.alpha, self.eps, self.momentum
