"""`loss`: makes a loss of a formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

from ...backends.errors import ConfigurationError
from ..layers.formula import keywords
from .binary import BCEWithLogitsLoss
from .classes import ClassesLoss
from .formula import FormulaLoss
from .values import ValuesLoss


class AnswersLoss(FormulaLoss, BCEWithLogitsLoss, named=False):
    """Base class of formulas whose targets are 0 or 1, (rows, n) as the outputs."""

    def baseline(self, y: Any, weight: Any) -> float | None:
        return None


BASES: dict[str, type[FormulaLoss]] = {"values": ValuesLoss, "classes": ClassesLoss, "binary": AnswersLoss}


@overload
def loss(formula: Callable[..., Any], /) -> type[FormulaLoss]: ...
@overload
def loss(*, targets: str = "values") -> Callable[[Callable[..., Any]], type[FormulaLoss]]: ...
def loss(formula: Any = None, /, *, targets: str = "values") -> Any:
    """Makes a loss class of a formula: a decorator.

    The function gets the model's outputs (rows, n) and the targets, as traced arrays, and returns one number a row. It
    uses `gearshift.xp` and Python's operators. Its keyword arguments become arguments of the class. Files of models
    hold the class's name; the function must be defined where they are loaded.

    Parameters
    ----------
    targets : ``"values"`` (rows, n), ``"classes"`` (labels (rows,)) or ``"binary"`` (0 and 1, (rows, n)).

    Raises
    ------
    ConfigurationError
        `targets` is unknown, or a parameter after the second is not keyword-only.

    Examples
    --------
    >>> @gs.loss
    ... def quartic(output, target, *, scale=1.0):
    ...     return (scale * (output - target) ** 4).mean(axis=-1)
    >>> quartic(scale=0.5)
    quartic(scale=0.5)
    """
    if targets not in BASES:
        raise ConfigurationError(f"loss: targets is {targets!r}; expected one of: {', '.join(BASES)}")

    def decorate(formula: Callable[..., Any]) -> type[FormulaLoss]:
        keywords(formula, 2, "a loss takes two arrays, then keywords after *: (output, target, *, delta=1.0)")
        names = {"formula": staticmethod(formula), "__module__": formula.__module__, "__doc__": formula.__doc__}
        return type(formula.__name__, (BASES[targets],), names)

    return decorate if formula is None else decorate(formula)
