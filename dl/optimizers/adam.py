"""Adam and AdamW."""

from __future__ import annotations

import math
from typing import ClassVar

from ...backends.errors import ConfigurationError
from ...kernels.updates import adam
from ..values import require_number
from .base import Optimizer


class Adam(Optimizer):
    """Adam (Kingma and Ba 2014, Algorithm 1), as torch.optim.Adam.

    Parameters
    ----------
    lr : learning rate.
    betas : decay rates of the first and second moment.
    eps : added to the denominator.
    weight_decay : L2 penalty; weight_decay · p is added to g.

    Raises
    ------
    ConfigurationError
        An argument is not a number, or out of its range.

    Examples
    --------
    >>> p, optimizer = np.array([1.0, 1.0]), gs.Adam(lr=0.1)
    >>> optimizer.update(p, np.array([100.0, 0.01]), optimizer.init(p))  # a step as long for both gradients
    >>> p.round(4)
    array([0.9, 0.9])
    """

    operation = adam.ADAM
    slots = ("first", "second")
    decoupled: ClassVar[int] = 0

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.betas, self.eps = betas, eps
        require_number(self, eps=eps, at_least=0)
        numbers = [beta for beta in betas if type(beta) in (int, float)] if isinstance(betas, tuple | list) else []
        if len(numbers) != 2 or len(betas) != 2 or not all(0 <= beta < 1 for beta in numbers):
            raise ConfigurationError(
                f"{type(self).__name__}: betas is {betas!r}; expected two numbers of at least 0 and below 1"
            )
        self.betas = tuple(betas)

    @property
    def attributes(self) -> dict[str, int | float]:
        return {"decoupled": self.decoupled}

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        beta1, beta2 = self.betas
        step_size = lr / (1 - beta1 ** (step + 1))
        root = 1 / math.sqrt(1 - beta2 ** (step + 1))
        return lr, step_size, root, beta1, 1 - beta1, beta2, 1 - beta2, self.eps


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW.

    Examples
    --------
    >>> p, optimizer = np.array([1.0]), gs.AdamW(lr=0.1, weight_decay=0.5)
    >>> optimizer.update(p, np.array([0.0]), optimizer.init(p))  # 1 − 0.1 · 0.5, although the gradient is 0
    >>> p
    array([0.95])
    """

    decoupled = 1

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)
