"""Checks of the arguments of `Trainer` and `Trainer.fit`. Errors name the argument and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError
from ..data.rows import ORDERS
from ..layers.base import Layer
from ..losses.losses import Loss
from ..optimizers.base import Optimizer
from ..optimizers.groups import ParameterGroup
from ..optimizers.regularizers import Regularizer
from ..optimizers.schedules import Schedule
from ..step.shared import check_slots


def check_trainer(trainer: Any) -> None:
    """Raises ConfigurationError if a setting of a `Trainer` has the wrong type or is out of its range."""
    schedule, regularizer, groups, optimizer = trainer.schedule, trainer.regularizer, trainer.groups, trainer.optimizer
    for name, kind in (("model", Layer), ("loss", Loss), ("optimizer", Optimizer)):
        if not isinstance(value := getattr(trainer, name), kind):
            example = {"loss": ", such as gs.MSELoss()", "optimizer": ", such as gs.Adam()"}.get(name, "")
            raise ConfigurationError(f"Trainer: {name} is {value!r}; expected a gearshift {kind.__name__}{example}")
    check_slots(optimizer)
    if schedule is not None and not isinstance(schedule, Schedule):
        factor = schedule(0) if callable(schedule) and not isinstance(schedule, type) else None
        if not isinstance(factor, int | float | np.number) or not 0 <= factor < np.inf:
            raise ConfigurationError(
                f"Trainer: schedule is {schedule!r}; expected a gearshift Schedule, a function of the step that "
                "returns a factor of at least 0, or None"
            )
    if regularizer is not None and not isinstance(regularizer, Regularizer):
        raise ConfigurationError(f"Trainer: regularizer is {regularizer!r}; expected a gearshift L1, or None")
    seed, clip_norm, clip_value = trainer.seed, trainer.clip_norm, trainer.clip_value
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
        raise ConfigurationError(f"Trainer: seed is {seed!r}; expected an integer from 0 to 2**64 - 1")
    for name, value in (("clip_norm", clip_norm), ("clip_value", clip_value)):
        if value is not None and not (isinstance(value, int | float) and value > 0):
            raise ConfigurationError(f"Trainer: {name} is {value!r}; expected a number above 0, or None")
    for group in groups:
        if not isinstance(group, ParameterGroup):
            raise ConfigurationError(f"Trainer: groups has {group!r}; expected gearshift ParameterGroups")
    ema = trainer.ema
    if ema is not None and (isinstance(ema, bool) or not isinstance(ema, int | float | np.number) or not 0 <= ema < 1):
        raise ConfigurationError(
            f"Trainer: ema is {ema!r}; expected the decay of the average of the weights, a number of at least 0 and "
            "below 1 such as 0.999, or None"
        )
    if optimizer.on_host and (clip_norm or clip_value or groups or regularizer or ema is not None):
        raise ConfigurationError(
            f"Trainer: {type(optimizer).__name__} finds its own step; clip_norm, clip_value, groups, "
            "regularizer and ema are for optimizers of the gradient"
        )


def check_fit(
    loss: Loss,
    optimizer: Optimizer,
    *,
    validation: Any,
    epochs: Any,
    batch_size: Any,
    patience: Any,
    monitor: Any,
    min_delta: Any,
    metrics: Sequence[str],
    loss_goal: Any,
    order: Any,
    accumulate: Any,
) -> None:
    """Raises ConfigurationError if an argument of `Trainer.fit` is out of its range or cannot be measured."""
    counts = (("epochs", epochs, 0), ("batch_size", batch_size, 1), ("patience", patience, 1))
    for name, value, least in (*counts, ("accumulate", accumulate, 1)):
        if (name, value) != ("patience", None) and (not isinstance(value, int | np.integer) or value < least):
            raise ConfigurationError(f"fit: {name} is {value!r}; expected an integer of at least {least}")
    measured = [*loss.metrics]
    if validation is not None:
        measured += [*(f"validation_{name}" for name in measured), *metrics]
    elif metrics:
        raise ConfigurationError("fit: metrics are computed on validation data, and there are none; give validation=")
    taken = [name for name in metrics if name in (f"validation_{own}" for own in loss.metrics)]
    if taken:
        raise ConfigurationError(
            f"fit: metrics has {taken[0].removeprefix('validation_')!r}, which is measured anyway; give it another "
            "name: metrics={'name': metric}"
        )
    number = isinstance(min_delta, int | float | np.number) and not isinstance(min_delta, bool)
    if not number or not 0 <= min_delta < np.inf:
        raise ConfigurationError(f"fit: min_delta is {min_delta!r}; expected a number of at least 0")
    if (patience is not None or monitor != "validation_loss") and monitor not in measured:
        raise ConfigurationError(
            f"fit: monitor is {monitor!r}, which is not measured; expected one of: {', '.join(measured)}"
            + (", or validation data" if validation is None else "")
        )
    if loss_goal is not None and not isinstance(loss_goal, int | float | np.number):
        raise ConfigurationError(f"fit: loss_goal is {loss_goal!r}; expected a number, or None")
    if optimizer.on_host and accumulate > 1:
        raise ConfigurationError(f"fit: accumulate is {accumulate}, but {optimizer!r} takes a batch as a whole")
    if order not in ORDERS:
        raise ConfigurationError(f"fit: order is {order!r}; expected one of: {', '.join(ORDERS)}")
