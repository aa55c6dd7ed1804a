"""Losses that are a formula of a row: traced, with their gradient, and compiled into one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, overload

from ...backends.errors import ConfigurationError, ShapeError
from ...kernels.arrays.concatenate import JOIN
from ...kernels.operation import Operation
from ...kernels.tracing import structure
from ...kernels.tracing.derivatives import gradients
from ...kernels.tracing.expression import ROWS, Expression, apply, array, broadcast, constant, row_count
from ...kernels.tracing.group import Group, partition
from ...kernels.tracing.lowering import lower, operation_of
from ...kernels.tracing.traced_array import TracedArray, expression_of
from ..graph.graph import Graph, Value
from ..layers.formula import checked_constants, keywords
from .binary import BCEWithLogitsLoss
from .losses import CrossEntropyLoss, Loss, MSELoss


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
        output = array("output", (ROWS, *prediction.shape))
        wanted = array("target", (ROWS, *target.shape), "int" if target.dtype == "int64" else "real")
        scores, slope = self._traced(output, wanted)
        name, dtype = type(self).__name__, graph.dtype if graph.scaled else prediction.dtype
        each = prediction.rows_per_example
        totals = graph.batch((1,), graph.dtype, rows_per_example=each)
        gradient = graph.batch(prediction.shape, dtype, rows_per_example=each)
        values = {output: prediction, wanted: target}
        one = one_pass(name, output, wanted, scores[0], slope)
        if one is not None:
            graph.apply(one, (prediction, target), (totals, gradient))
        else:
            lower(graph, name, [scores[0], slope], values, into={scores[0]: totals, slope: gradient})
        for metric in scores[1:]:
            own = graph.batch((1,), graph.dtype, rows_per_example=each)
            before, totals = totals, graph.batch((2,), graph.dtype, rows_per_example=each)
            lower(graph, f"{name}_accuracy", [metric], values, into={metric: own})
            graph.apply(JOIN, (before, own), (totals,))
        return self._weighted(graph, weight, totals, gradient)

    def _traced(self, output: Expression, target: Expression) -> tuple[list[Expression], Expression]:
        """The score of each row, a column each, and the gradient of their mean."""
        given = target
        if self.targets == "classes":
            if len(output.shape) != 2 or target.shape != (ROWS, 1):
                raise ShapeError(
                    f"{type(self).__name__}: the model's outputs are {output.shape}; expected (rows, classes)"
                )
            given = structure.reshape(target, (ROWS,))
        result = type(self).formula(TracedArray(output), TracedArray(given), **self.constants)
        score = expression_of(result)
        if not isinstance(score, Expression) or score.shape not in ((ROWS,), (ROWS, 1)):
            said = score.shape if isinstance(score, Expression) else type(result).__name__
            raise ShapeError(
                f"{type(self).__name__}: the formula returns {said}; expected one number a row, (rows,), as "
                ".mean(axis=-1) gives"
            )
        score = structure.reshape(structure.as_number(score), (ROWS, 1))
        share = broadcast(constant(1.0) / row_count(), score.shape)
        (slope,) = gradients({score: share}, [output])
        if slope is None:
            raise ConfigurationError(
                f"{type(self).__name__}: the formula does not depend on the outputs; nothing is learned"
            )
        return [score, *self._metrics(output, target)], slope

    def _metrics(self, output: Expression, target: Expression) -> list[Expression]:
        """Whether each row is right, for classes and binary targets."""
        if self.targets == "classes":
            return [apply("number", apply("equal", structure.argmax(output), target))]
        if self.targets == "binary":
            answers = apply("number", apply("greater", output, 0.0)), apply("number", apply("greater", target, 0.5))
            right = apply("equal", *answers)
            count = structure.mean_count(output, (1,))
            return [structure.reduce("sum", apply("number", right), (1,), True) / count]
        return []

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "arguments": dict(self.constants)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.constants.items())})"


def one_pass(
    name: str, output: Expression, target: Expression, score: Expression, slope: Expression
) -> Operation | None:
    """The operation that computes scores and gradient in one pass, with the arguments of every loss; None if that needs
    several."""
    groups = partition([score, slope])
    if len(groups) != 1 or not groups[0].fused or len(output.shape) != 2 or score is slope:
        return None
    found = groups[0]
    whole = Group(found.outer, found.width, True, found.nodes, [output, target], [score, slope])
    return replace(operation_of(name, whole), role="loss", sliced=True)


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
