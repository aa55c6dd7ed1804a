"""Learning-rate schedules: the factor of the optimizer's rate at each step, evaluated ahead on the host."""

from __future__ import annotations

import math

from ..backends.errors import ConfigurationError


class Schedule:
    """Base of the schedules, and the constant one.

    Parameters
    ----------
    warmup : steps over which the factor rises linearly from 1/warmup to what the schedule says.
    """

    def __init__(self, warmup: int = 0) -> None:
        self.warmup = warmup
        self._whole("warmup", 0)

    def factor(self, step: int) -> float:
        """The factor at step number `step`, from 0, without warm-up."""
        return 1.0

    def __call__(self, step: int) -> float:
        """The factor at step number `step`, from 0."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return rise * self.factor(step)

    def _whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or value < least:
            raise ConfigurationError(
                f"{type(self).__name__}: {name} is {value!r}; expected a whole number of at least {least}"
            )


class Constant(Schedule):
    """The optimizer's rate throughout."""


class LinearDecay(Schedule):
    """From 1 down to `final` over `steps`, then constant: (1 − a) + a · final with a = step / steps."""

    def __init__(self, steps: int, final: float = 0.01, warmup: int = 0) -> None:
        super().__init__(warmup)
        self.steps, self.final = steps, final
        self._whole("steps", 1)

    def factor(self, step: int) -> float:
        a = min(1.0, step / self.steps)
        return (1 - a) + a * self.final


class StepDecay(Schedule):
    """Multiplied by `gamma` every `steps` steps."""

    def __init__(self, steps: int, gamma: float = 0.1, warmup: int = 0) -> None:
        super().__init__(warmup)
        self.steps, self.gamma = steps, gamma
        self._whole("steps", 1)

    def factor(self, step: int) -> float:
        return self.gamma ** (step // self.steps)


class CosineDecay(Schedule):
    """Half a cosine from 1 down to `final` over `steps` (Loshchilov and Hutter 2017), then constant."""

    def __init__(self, steps: int, final: float = 0.0, warmup: int = 0) -> None:
        super().__init__(warmup)
        self.steps, self.final = steps, final
        self._whole("steps", 1)

    def factor(self, step: int) -> float:
        a = min(1.0, step / self.steps)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * a)) / 2
