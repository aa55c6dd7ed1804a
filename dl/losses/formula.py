"""`FormulaLoss`: losses that are a formula of a row, traced with their gradient and compiled into one pass."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..graph.graph import Graph, Value
from ..layers.formula import bind_constants, checked_constants
from .losses import Loss
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

    def __init__(self, *unnamed: Any, **constants: float) -> None:
        self.constants = checked_constants(type(self).__name__, type(self).formula, constants, unnamed=unnamed)

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        bind_constants(cls)

    @staticmethod
    def formula(output: Any, target: Any) -> Any:
        """The loss of each row (rows,), for the model's outputs (rows, n) and the targets."""
        raise NotImplementedError

    def score(self, graph: Graph, prediction: Value, target: Value, weight: Value | None) -> tuple[Value, Value]:
        if self._has_operation():
            return super().score(graph, prediction, target, weight)
        self._check_weight(prediction, weight)
        formula = partial(type(self).formula, **self.constants)
        scored = traced_score(graph, type(self).__name__, formula, self.targets, prediction, target)
        return self._weighted(graph, weight, *scored)

    @classmethod
    def _has_operation(cls) -> bool:
        """Whether a subclass has an operation of its own, which then counts instead of the formula."""
        nearest = next(kind for kind in cls.__mro__ if not {"operation", "formula"}.isdisjoint(vars(kind)))
        return "operation" in vars(nearest)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), **({"arguments": dict(self.constants)} if self.constants else {})}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.constants.items())})"
