"""Values of a configuration that are one of some names: registered classes and initialisers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from ...backends.errors import ConfigurationError
from ..hints import hint
from ..layers.activations import activations
from ..layers.initializers import named
from ..losses.losses import Loss
from ..optimizers.base import Optimizer
from ..optimizers.schedules import schedules


def one_of(known: Callable[[], Iterable[str]]) -> AfterValidator:
    """A registered name; classes can be registered until the configuration is checked."""

    def check(name: str) -> str:
        if name not in (names := list(known())):
            raise PydanticCustomError("unknown_name", "{hint}", {"hint": hint(name, names)})
        return name

    return AfterValidator(check)


def _known_init(name: str) -> str:
    if name != "auto":
        try:
            named(name)
        except ConfigurationError as error:
            raise PydanticCustomError("unknown_key", "{text}", {"text": f"model.{error}"}) from None
    return name


ActivationName = Annotated[str, one_of(activations)]
LossName = Annotated[str, one_of(lambda: Loss.registered)]
LossChoice = Annotated[str, one_of(lambda: ("auto", *Loss.registered, "JointLoss"))]
OptimizerName = Annotated[str, one_of(lambda: Optimizer.registered)]
ScheduleName = Annotated[str, one_of(schedules)]
InitName = Annotated[str, AfterValidator(_known_init)]
