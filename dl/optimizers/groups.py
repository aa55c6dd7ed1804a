"""Parameter groups: parameters with a learning rate and a decay of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ...backends.errors import ConfigurationError
from ..layers.base import Parameter


@dataclass(frozen=True)
class ParameterGroup:
    """The parameters whose names match, trained at their own rate.

    Parameters
    ----------
    names : a pattern of parameters' names, as ``"0.weight"``, ``"0.*"`` or ``"*.bias"``; the first group that matches
        takes a parameter.
    lr : learning rate, which the schedule multiplies as well; None is the optimizer's.
    weight_decay : decay of the group's weights, not of its biases; None is the optimizer's.

    Raises
    ------
    ConfigurationError
        `lr` or `weight_decay` is below 0 or infinite.
    """

    names: str
    lr: float | None = None
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        for name in ("lr", "weight_decay"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and 0 <= value < float("inf")):
                raise ConfigurationError(
                    f"ParameterGroup {self.names!r}: {name} is {value!r}; expected a number of at least 0, or None"
                )


def members(groups: Sequence[ParameterGroup], parameters: Sequence[Parameter]) -> list[int]:
    """The number of each parameter's group; those of none come after all groups.

    Raises
    ------
    ConfigurationError
        A group has no parameter.
    """
    numbers = [
        next((i for i, group in enumerate(groups) if fnmatchcase(parameter.name, group.names)), len(groups))
        for parameter in parameters
    ]
    for i, group in enumerate(groups):
        if i not in numbers:
            names = ", ".join(parameter.name for parameter in parameters)
            raise ConfigurationError(
                f"ParameterGroup {group.names!r} matches no parameter, or only ones already in an earlier group; the "
                f"parameters are: {names}"
            )
    return numbers
