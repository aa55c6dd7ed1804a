"""Losses that are a formula of a row: traced, with their gradient, and compiled into one pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, overload

from ...backends.errors import ConfigurationError
from ..graph.graph import Graph, Value
from ..layers.formula import checked_constants, keywords
from .binary import BCEWithLogitsLoss
from .classes import CrossEntropyLoss
from .losses import Loss, MSELoss
from .traced import traced_score


class FormulaLoss(Loss, named=False):
    """Base class of losses whose `formula` gives one number for each row; the loss is their mean over the batch.

    Parameters
    ----------
    constants : the keyword arguments of `formula`.

    Raises
    ------
    ConfigurationError
        A constant is unknown or not a number.
    """

    def __init__(self, **constants: float) -> None:
        self.constants = checked_constants(type(self).__name__, type(self).formula, constants)

    @staticmethod
    def formula(output: Any, target: Any) -> Any:
        """The loss of each row (rows,), for the model's outputs (rows, n) and the targets."""
        raise NotImplementedError

    def score(self, graph: Graph, prediction: Value, target: Value, weight: Value | None) -> tuple[Value, Value]:
        self._check_weight(prediction, weight)
        formula = partial(type(self).formula, **self.constants)
        scored = traced_score(graph, type(self).__name__, formula, self.targets, prediction, target)
        return self._weighted(graph, weight, *scored)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "arguments": dict(self.constants)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.constants.items())})"


class ValuesLoss(FormulaLoss, MSELoss, named=False):
    """Base class of formulas whose targets are values, (rows, n) as the outputs."""

    squared = False

    def baseline(self, y: Any, weight: Any) -> float | None:
        return None


class ClassesLoss(FormulaLoss, CrossEntropyLoss, named=False):
    """Base class of formulas whose targets are labels, (rows,)."""

    def baseline(self, y: Any, weight: Any) -> float | None:
        return None


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
