"""Parameter groups: parameters with their own learning rate and weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ...backends.errors import ConfigurationError
from ..layers.parameter import Parameter
from ..values import require_number


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters, selected by name, with their own learning rate and weight decay.

    Parameters
    ----------
    names : a pattern of parameter names, such as ``"0.weight"``, ``"0.*"`` or ``"*.bias"``; a parameter belongs to
        the first matching group.
    lr : learning rate, which the schedule multiplies too; None for the optimizer's.
    weight_decay : of the group's weights, not of its biases; None for the optimizer's.

    Raises
    ------
    ConfigurationError
        `lr` or `weight_decay` is below 0 or infinite.

    Examples
    --------
    >>> model = gs.Sequential(gs.Linear(64, 32), gs.ReLU(), gs.Linear(32, 10))
    >>> slow = gs.ParameterGroup("0.*", lr=1e-5)  # the first layer, such as one that was trained before
    >>> trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=1e-3), groups=[slow], seed=0)
    """

    names: str
    lr: float | None = None
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        given = {"lr": self.lr, "weight_decay": self.weight_decay}
        given = {name: value for name, value in given.items() if value is not None}
        require_number(f"ParameterGroup {self.names!r}", at_least=0, **given)


def members(groups: Sequence[ParameterGroup], parameters: Sequence[Parameter]) -> list[int]:
    """The group index of each parameter; ungrouped parameters have the index after the last group.

    Raises
    ------
    ConfigurationError
        A group matches no parameter.
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
