"""Learning-rate schedules: factors of the optimizer's learning rate per step, computed ahead on the host."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ...backends.errors import ConfigurationError
from ..registered import Registered
from ..values import require_count, require_number


class Schedule(Registered):
    """Base class of schedules; itself the constant schedule.

    Parameters
    ----------
    warmup : steps over which the factor rises linearly from 1/warmup to the schedule's value.

    Raises
    ------
    ConfigurationError
        `warmup` is not an integer of at least 0.

    Examples
    --------
    >>> class Halved(gs.Schedule):
    ...     def factor(self, step):
    ...         return 0.5**step
    >>> schedule = Halved(warmup=2)
    >>> [schedule(step) for step in range(4)]
    [0.5, 0.5, 0.25, 0.125]
    """

    registered: ClassVar[dict[str, type[Schedule]]]
    alias: ClassVar[str] = ""
    """Name in configurations, if it is not the class name."""
    robbins_monro: ClassVar[bool] = False
    """Whether Σ factor is infinite and Σ factor² is finite: SGD converges under these conditions."""

    def __init__(self, warmup: int = 0) -> None:
        self.warmup = warmup
        require_count(self, 0, warmup=warmup)

    def factor(self, step: int) -> float:
        """The factor at step number `step`, from 0, without warm-up."""
        return 1.0

    def __call__(self, step: int) -> float:
        """The factor at step number `step`, from 0."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return rise * self.factor(step)

    def observe(self, records: Sequence[Mapping[str, float]]) -> None:
        """Called before each epoch with the records of all finished ones; most schedules do nothing."""


class Constant(Schedule):
    """Constant learning rate.

    Examples
    --------
    >>> schedule = gs.Constant(warmup=4)
    >>> [schedule(step) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """

    alias = "constant"


class InverseTimeDecay(Schedule):
    """1 / (1 + delta · t), with t the steps since the first `hold`, during which it is 1 (Robbins and Monro 1951).

    Parameters
    ----------
    delta : decay rate, above 0.
    hold, warmup : initial steps without decay, and steps of linear warm-up.

    Raises
    ------
    ConfigurationError
        `delta` is not a number above 0, or `hold` or `warmup` is not an integer of at least 0.

    Examples
    --------
    >>> schedule = gs.InverseTimeDecay(delta=1.0)
    >>> [round(schedule(step), 3) for step in range(4)]
    [1.0, 0.5, 0.333, 0.25]
    """

    alias = "inverse"
    robbins_monro = True

    def __init__(self, delta: float, hold: int = 0, warmup: int = 0) -> None:
        super().__init__(warmup)
        self.delta, self.hold = delta, hold
        require_count(self, 0, hold=hold)
        require_number(self, delta=delta, above=0)

    def factor(self, step: int) -> float:
        return 1 / (1 + self.delta * max(0, step - self.hold))


class PowerDecay(Schedule):
    """1 / t^power with 0.5 < power ≤ 1 and t = 1, 2, … from step `hold` on; 1 before (Robbins and Monro 1951).

    Parameters
    ----------
    power : above 0.5 and at most 1.
    hold, warmup : initial steps without decay, and steps of linear warm-up.

    Raises
    ------
    ConfigurationError
        `power` is out of its range, or `hold` or `warmup` is not an integer of at least 0.

    Examples
    --------
    >>> schedule = gs.PowerDecay(1.0, hold=2)
    >>> [round(schedule(step), 3) for step in range(5)]
    [1.0, 1.0, 1.0, 0.5, 0.333]
    """

    alias = "power"
    robbins_monro = True

    def __init__(self, power: float = 1.0, hold: int = 0, warmup: int = 0) -> None:
        super().__init__(warmup)
        self.power, self.hold = power, hold
        require_count(self, 0, hold=hold)
        if not 0.5 < power <= 1:
            raise ConfigurationError(
                f"PowerDecay: power is {power!r}; expected a number above 0.5 and at most 1, so that the sum of the "
                "rates is infinite and that of their squares is not"
            )

    def factor(self, step: int) -> float:
        return 1 / max(1, step - self.hold + 1) ** self.power


class Ramp(Schedule):
    """Linear ramp from `start` to `stop` over `steps`, then constant; also for momentum.

    Parameters
    ----------
    start, stop : factors at step 0 and from step `steps` on.
    steps : length of the ramp.
    warmup : steps of linear warm-up.

    Raises
    ------
    ConfigurationError
        `steps` is not an integer of at least 1, or `start` or `stop` is not a finite number.

    Examples
    --------
    >>> optimizer = gs.Momentum(lr=1e-3, momentum=gs.Ramp(0.5, 0.9, steps=4))
    >>> [round(optimizer.momentum(step), 3) for step in range(6)]
    [0.5, 0.6, 0.7, 0.8, 0.9, 0.9]
    """

    def __init__(self, start: float, stop: float, steps: int, warmup: int = 0) -> None:
        super().__init__(warmup)
        self.start, self.stop, self.steps = start, stop, steps
        require_count(self, steps=steps)
        require_number(self, start=start, stop=stop)

    def factor(self, step: int) -> float:
        a = min(1.0, step / self.steps)
        return (1 - a) * self.start + a * self.stop


class LinearDecay(Ramp):
    """Linear decay from 1 to `final`, by default 0: (1 − a) + a · final with a = step / steps, then constant.

    Parameters
    ----------
    steps : length of the decay.
    final : the final factor.
    warmup : steps of linear warm-up.

    Raises
    ------
    ConfigurationError
        `steps` is not an integer of at least 1, or `final` is below 0.

    Examples
    --------
    >>> schedule = gs.LinearDecay(steps=4)
    >>> [schedule(step) for step in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    alias = "linear"

    def __init__(self, steps: int, final: float = 0.0, warmup: int = 0) -> None:
        super().__init__(1.0, final, steps, warmup)
        self.final = final
        require_number(self, final=final, at_least=0)


class StepDecay(Schedule):
    """Multiplies the factor by `gamma` every `steps` steps.

    Parameters
    ----------
    steps : steps between two decays.
    gamma : the factor of each decay.
    warmup : steps of linear warm-up.

    Raises
    ------
    ConfigurationError
        `steps` is not an integer of at least 1, or `gamma` is not above 0.

    Examples
    --------
    >>> schedule = gs.StepDecay(steps=2, gamma=0.1)
    >>> [round(schedule(step), 3) for step in range(5)]
    [1.0, 1.0, 0.1, 0.1, 0.01]
    """

    alias = "step"

    def __init__(self, steps: int, gamma: float = 0.1, warmup: int = 0) -> None:
        super().__init__(warmup)
        self.steps, self.gamma = steps, gamma
        require_count(self, steps=steps)
        require_number(self, gamma=gamma, above=0)

    def factor(self, step: int) -> float:
        try:
            return self.gamma ** (step // self.steps)
        except OverflowError:  # a growing rate, at a future step that may never run
            return math.inf


class CosineDecay(Schedule):
    """Cosine decay from 1 to `final`, by default 0, over `steps` (Loshchilov and Hutter 2017), then constant.

    Parameters
    ----------
    steps : length of the decay.
    final : the final factor.
    warmup : steps of linear warm-up.

    Raises
    ------
    ConfigurationError
        `steps` is not an integer of at least 1, or `final` is below 0.

    Examples
    --------
    >>> schedule = gs.CosineDecay(steps=4)
    >>> [round(schedule(step), 3) for step in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    alias = "cosine"

    def __init__(self, steps: int, final: float = 0.0, warmup: int = 0) -> None:
        super().__init__(warmup)
        self.steps, self.final = steps, final
        require_count(self, steps=steps)
        require_number(self, final=final, at_least=0)

    def factor(self, step: int) -> float:
        a = min(1.0, step / self.steps)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * a)) / 2


def schedules() -> dict[str, type[Schedule]]:
    """All schedules, by their name in configurations (alias or class name)."""
    return {vars(kind).get("alias") or name: kind for name, kind in Schedule.registered.items()}
