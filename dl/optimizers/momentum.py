"""Momentum optimizers whose velocity includes the learning rate: Polyak's and Nesterov's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...backends.errors import ConfigurationError
from ...kernels.updates import nesterov
from ..values import require_number
from .base import Optimizer, State
from .formula import FormulaOptimizer
from .schedules import Ramp


class Momentum(FormulaOptimizer):
    """Polyak's momentum (1964): v ← momentum · v − lr · g; p ← p + v.

    `SGD(momentum=…)`, as in PyTorch, keeps the learning rate outside the velocity; they differ if the rate changes.

    Parameters
    ----------
    lr : learning rate.
    momentum : the momentum factor; or a function of the step number, from 0, such as `gearshift.Ramp`; or the
        arguments of a `Ramp` as a table, ``{"start": 0.5, "stop": 0.9, "steps": 1000}``.
    weight_decay : L2 penalty; weight_decay · p is added to g.

    Raises
    ------
    ConfigurationError
        An argument is not a number, or out of its range.

    Examples
    --------
    >>> p, optimizer = np.array([0.0]), gs.Momentum(lr=0.1, momentum=0.5)
    >>> state = optimizer.init(p)
    >>> for _ in range(2):  # v = 0.1, then 0.5 · 0.1 + 0.1
    ...     optimizer.update(p, np.array([-1.0]), state)
    >>> p
    array([0.25])
    """

    proportional = True

    def __init__(
        self,
        lr: float = 1e-3,
        momentum: float | Callable[[int], float] | Mapping[str, Any] = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        Optimizer.__init__(self, lr, weight_decay)
        self.momentum: float | Callable[[int], float]
        if isinstance(momentum, Mapping):
            try:
                momentum = Ramp(**momentum)
            except TypeError:
                raise ConfigurationError(
                    f"{type(self).__name__}: momentum is {momentum!r}; expected start, stop and steps"
                ) from None
        self.momentum = momentum
        if not callable(momentum):
            require_number(self, momentum=momentum, at_least=0, below=1)

    @staticmethod
    def formula(p: Any, g: Any, velocity: Any, *, lr: Any, momentum: Any) -> Any:
        velocity = momentum * velocity - lr * g
        return p + velocity, velocity

    def settings(self, step: int) -> dict[str, float]:
        return {"momentum": self.momentum(step) if callable(self.momentum) else self.momentum}


class Nesterov(Momentum):
    """Nesterov's momentum (Sutskever et al. 2013): g taken at p + momentum · v, v ← momentum · v − lr · g; p ← p + v.

    Same arguments as `Momentum`. A `Trainer` moves the weights ahead before each gradient. Without a `Trainer`, call
    `look_ahead`, compute the gradient at the new p, then call `update`.

    Examples
    --------
    >>> p, optimizer = np.array([1.0]), gs.Nesterov(lr=0.1, momentum=0.9)
    >>> state = optimizer.init(p)
    >>> for _ in range(50):
    ...     optimizer.look_ahead(p, state)
    ...     optimizer.update(p, 2 * p, state)  # the gradient of p², at the point ahead
    >>> bool(abs(p[0]) < 1e-2)
    True
    """

    operation = nesterov.NESTEROV
    before = nesterov.NESTEROV_AHEAD
    slots = ("velocity", "origin")

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        return lr, self.settings(step)["momentum"]

    def look_ahead(self, p: Any, state: Any) -> None:
        """Moves the array p to p + momentum · v, in place; also dictionaries of arrays."""
        if isinstance(p, Mapping):
            for name in p:
                self.look_ahead(p[name], state[name])
            return
        self._check_ahead(state, False)
        self._apply(nesterov.NESTEROV_AHEAD, p, p, state)
        state.ahead = True

    def update(self, p: Any, g: Any, state: Any) -> None:
        if not isinstance(p, Mapping):
            self._check_ahead(state, True)
        super().update(p, g, state)
        if not isinstance(p, Mapping):
            state.ahead = False

    def _check_ahead(self, state: State, wanted: bool) -> None:
        if state.ahead is not wanted:
            raise ConfigurationError(
                "Nesterov: the gradient belongs to p + momentum · v; a step is look_ahead(p, state), the gradient at "
                "that p, and update(p, g, state), in this order"
            )
