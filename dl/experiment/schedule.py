"""The schedule of a configured run, and its length in steps."""

from __future__ import annotations

import inspect
import math

from ..data import Splits
from ..optimizers.schedules import Schedule, schedules
from .sections import Configuration


def settled(configuration: Configuration, splits: Splits) -> Configuration:
    """The configuration with the schedule's length in steps; by default that of the whole run.

    A run stores this length, so a run resumed for more epochs keeps its original schedule.
    """
    section = configuration.schedule
    takes_steps = "steps" in inspect.signature(schedules()[section.name]).parameters
    if section.steps or section.name == "step" or not takes_steps:
        return configuration
    steps = steps_of(configuration, splits)
    return configuration.model_copy(update={"schedule": section.model_copy(update={"steps": steps})})


def steps_of(configuration: Configuration, splits: Splits) -> int:
    """The steps of the whole run."""
    return configuration.train.epochs * math.ceil(len(splits.train) / configuration.train.batch_size)


def build_schedule(configuration: Configuration) -> Schedule:
    """The named schedule, with the keys of the section that it accepts."""
    section = configuration.schedule
    kind, keys = schedules()[section.name], section.model_dump()
    return kind(**{name: keys[name] for name in inspect.signature(kind).parameters if name in keys})


def beyond_schedule(configuration: Configuration, splits: Splits) -> str:
    """A remark if the run is longer than its decay, whose last learning rate it then keeps; otherwise empty."""
    section, total = configuration.schedule, steps_of(configuration, splits)
    if section.name not in ("linear", "cosine", "onecycle") or not section.steps or total <= section.steps:
        return ""
    rate = configuration.optimizer.lr * build_schedule(configuration)(section.steps)
    return (
        f"schedule {section.name!r} ends at step {section.steps:,} of {total:,}; the learning rate is {rate:g} from "
        f"there on; to stretch it: --set schedule.steps={total}"
    )
