"""The named arrays that the parts of a run share; every name belongs to one part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...backends.errors import ConfigurationError
from ..optimizers.base import Optimizer

STATE = frozenset(
    {"p", "g", "counters", "totals", "key", "bounds", "factors", "weights", "table", "learning rates", "clip", "copy"}
    | {"loss scale", "step rates", "step parts"}
)
"""What `TrainingState` calls its own arrays."""
DATA = frozenset({"data x", "data y", "data weight", "order"})
"""What a data set calls its arrays."""


def together(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The arrays of all parts by name; `parts` maps each part's name to its arrays.

    Raises
    ------
    ConfigurationError
        Two parts use one name.
    """
    _check(parts)
    return {name: array for arrays in parts.values() for name, array in arrays.items()}


def check_slots(optimizer: Optimizer) -> None:
    """Raises ConfigurationError if an optimizer's slot has the name of another array of a run."""
    kind = type(optimizer).__name__
    if len(set(optimizer.slots)) < len(optimizer.slots):
        raise ConfigurationError(f"{kind}: slots is {optimizer.slots!r}; expected different names")
    _check({f"{kind}'s slots": optimizer.slots, "the training state": STATE, "the data set": DATA})


def _check(parts: Mapping[str, Iterable[str]]) -> None:
    owners: dict[str, str] = {}
    for part, names in parts.items():
        for name in names:
            if name in owners:
                raise ConfigurationError(
                    f"{owners[name]} and {part} both have an array {name!r}; a run knows its arrays by name: "
                    "choose another name"
                )
            owners[name] = part
