"""Schedules that rise and fall once, or that follow a measure of the training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ...backends.errors import ConfigurationError
from ..measures import falls
from ..values import require_count, require_number
from .schedules import Schedule


class OneCycle(Schedule):
    """Rises from `start` to 1 and falls to `final` over `steps`, both as cosines (Smith and Topin 2018).

    The optimizer's learning rate is the highest one, as `max_lr` of torch.optim.lr_scheduler.OneCycleLR.

    Parameters
    ----------
    steps : length of the cycle; then the factor is `final`.
    rise : share of the steps that the rise takes, above 0 and below 1.
    start, final : factors at the first and the last step.
    warmup : steps of linear warm-up besides.

    Raises
    ------
    ConfigurationError
        `steps` is not an integer of at least 1, or another argument is out of its range.

    Examples
    --------
    >>> schedule = gs.OneCycle(steps=11, rise=0.3)
    >>> [round(schedule(step), 2) for step in range(11)]
    [0.04, 0.42, 0.96, 0.98, 0.88, 0.73, 0.53, 0.33, 0.16, 0.04, 0.0]
    """

    alias = "onecycle"

    def __init__(
        self, steps: int, rise: float = 0.3, start: float = 0.04, final: float = 4e-6, warmup: int = 0
    ) -> None:
        super().__init__(warmup)
        self.steps, self.rise, self.start, self.final = steps, rise, start, final
        require_count(self, steps=steps)
        require_number(self, rise=rise, above=0, below=1)
        require_number(self, start=start, final=final, at_least=0)

    def factor(self, step: int) -> float:
        last, top = self.steps - 1, self.rise * self.steps - 1
        if step <= top:
            return _cosine(self.start, 1.0, step / max(top, 1e-12))
        return _cosine(1.0, self.final, min(1.0, (step - top) / max(last - top, 1e-12)))


def _cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


class ReduceOnPlateau(Schedule):
    """Multiplies the learning rate by `gamma` after more than `patience` epochs without improvement.

    As torch.optim.lr_scheduler.ReduceLROnPlateau, with an absolute threshold. It is a function of the history, so a
    resumed training goes on with the same rates.

    Parameters
    ----------
    gamma : the factor of each reduction, above 0 and below 1.
    patience : epochs without improvement that are accepted.
    monitor : the measure, a name in the records of the history.
    min_delta : smaller changes are no improvements.
    final : the lowest factor.
    warmup : steps of linear warm-up.
    scale : the present factor, which training sets.

    Raises
    ------
    ConfigurationError
        An argument is out of its range; in training, `monitor` is not measured.

    Examples
    --------
    >>> schedule = gs.ReduceOnPlateau(gamma=0.5, patience=1)
    >>> schedule.observe([{"validation_loss": loss} for loss in (1.0, 0.9, 0.9, 0.9)])  # training calls it
    >>> schedule(0)
    0.5
    """

    alias = "plateau"

    def __init__(
        self,
        gamma: float = 0.1,
        patience: int = 10,
        monitor: str = "validation_loss",
        min_delta: float = 0.0,
        final: float = 0.0,
        warmup: int = 0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(warmup)
        self.gamma, self.patience, self.monitor, self.min_delta = gamma, patience, monitor, min_delta
        self.final, self.scale = final, scale
        require_count(self, 0, patience=patience)
        require_number(self, gamma=gamma, above=0, below=1)
        require_number(self, min_delta=min_delta, final=final, scale=scale, at_least=0)

    def factor(self, step: int) -> float:
        return self.scale

    def observe(self, records: Sequence[Mapping[str, float]]) -> None:
        values = [record[self.monitor] for record in records if self.monitor in record]
        if records and not values:
            raise ConfigurationError(
                f"ReduceOnPlateau: monitor is {self.monitor!r}, which is not measured; expected one of: "
                f"{', '.join(records[-1])}"
            )
        sign = 1 if falls(self.monitor) else -1
        best, bad, scale = math.inf, 0, 1.0
        for value in values:
            if sign * value < best - self.min_delta:
                best, bad = sign * value, 0
            else:
                bad += 1
            if bad > self.patience:
                scale, bad = max(scale * self.gamma, self.final), 0
        self.scale = scale
