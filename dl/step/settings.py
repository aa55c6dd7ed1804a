"""Detects settings that users change during training, and checks them like constructor arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError
from ..optimizers.base import Optimizer
from ..optimizers.groups import ParameterGroup
from ..optimizers.regularizers import Regularizer
from ..optimizers.schedules import Schedule

PACKAGE = __name__.split(".")[0]
_PLAIN = (type(None), bool, int, float, str)


def snapshot(value: Any) -> Any:
    """The current values of a setting, for later comparison; for an object, its attributes."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, tuple | list):
        return tuple(map(snapshot, value))
    if isinstance(value, Mapping):
        return tuple((name, snapshot(item)) for name, item in value.items())
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    attributes = getattr(value, "__dict__", {}).items()
    if isinstance(value, Optimizer | Schedule | ParameterGroup | Regularizer):
        return type(value), tuple((name, snapshot(item)) for name, item in attributes)
    # a thing of the user's own may hold anything, also the trainer
    return value, tuple((name, item) for name, item in attributes if type(item) in _PLAIN)


def recheck(value: Any) -> None:
    """Checks changed attributes of an optimizer or schedule as its constructor does.

    Values that the constructor derives from its arguments are computed anew. Custom classes are not checked.

    Raises
    ------
    ConfigurationError
        An attribute has the wrong type or is out of its range.
    """
    kind = type(value)
    if not kind.__module__.startswith(f"{PACKAGE}."):
        return
    names = inspect.signature(kind).parameters
    fresh = kind(**{name: item for name, item in vars(value).items() if name in names})
    unknown = sorted(vars(value).keys() - vars(fresh).keys())
    if unknown:
        raise ConfigurationError(
            f"{kind.__name__} has no setting {unknown[0]!r}; expected one of: {', '.join(vars(fresh))}"
        )
    vars(value).update(vars(fresh))
