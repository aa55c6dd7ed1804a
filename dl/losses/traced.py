"""Appends a loss that is a formula of a row, with its gradient: as one operation if one kernel computes both."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...backends.errors import ConfigurationError, ShapeError
from ...kernels.operation import Operation
from ...kernels.tracing import structure
from ...kernels.tracing.derivatives import gradients
from ...kernels.tracing.expression import ROWS, Expression, apply, array, as_number, broadcast, constant, row_count
from ...kernels.tracing.group import Group, partition
from ...kernels.tracing.lowering import lower, operation_of
from ...kernels.tracing.traced_array import expression_of, traced
from ..graph.graph import Graph, Value


def traced_score(
    graph: Graph,
    name: str,
    formula: Callable[..., Any],
    targets: str,
    prediction: Value,
    target: Value,
    ignored: int | None = None,
) -> tuple[Value, Value]:
    """The scores and the gradient of a formula, for the loss called `name`.

    A label that is no class, and not `ignored`, has the loss NaN, which stops the training.

    Raises
    ------
    ShapeError
        The formula returns something else than one number a row.
    ConfigurationError
        It does not depend on the outputs.
    """
    output = array("output", (ROWS, *prediction.shape))
    labels = target.shape == (prediction.rows_per_example,) and targets == "classes"  # a label for each row of outputs
    wanted = array("target", (ROWS, *((1,) if labels else target.shape)), "int" if target.dtype == "int64" else "real")
    scores, slope = _traced(name, formula, targets, output, wanted, ignored)
    each, dtype = prediction.rows_per_example, graph.dtype if graph.scaled else prediction.dtype
    results = (
        graph.batch((scores.shape[1],), graph.dtype, rows_per_example=each),
        graph.batch(prediction.shape, dtype, rows_per_example=each),
    )
    operation = _one_pass(name, output, wanted, scores, slope)
    if operation is not None:
        graph.apply(operation, (prediction, target), results)
    else:
        values: dict[Expression, Value] = {output: prediction, wanted: target}
        lower(graph, name, [scores, slope], values, into=dict(zip((scores, slope), results, strict=True)))
    return results


def _traced(
    name: str,
    formula: Callable[..., Any],
    targets: str,
    output: Expression,
    target: Expression,
    ignored: int | None,
) -> tuple[Expression, Expression]:
    """The scores, a column for each metric, and the gradient of the mean of the first."""
    given = target
    if targets == "classes":
        if len(output.shape) != 2 or target.shape != (ROWS, 1):
            raise ShapeError(f"{name}: the model's outputs are {output.shape}; expected (rows, classes)")
        given = structure.reshape(target, (ROWS,))
    result = traced(formula, output, given)
    score = expression_of(result)
    if not isinstance(score, Expression) or score.shape not in ((ROWS,), (ROWS, 1)):
        said = score.shape if isinstance(score, Expression) else type(result).__name__
        raise ShapeError(
            f"{name}: the formula returns {said}; expected one number a row, (rows,), as .mean(axis=-1) gives"
        )
    score = structure.reshape(as_number(score), (ROWS, 1))
    if targets == "classes":
        score = apply("where", _counts(target, output.shape[-1], ignored), score, math.nan)
    share = broadcast(constant(1.0) / row_count(), score.shape)
    (slope,) = gradients({score: share}, [output])
    if slope is None:
        raise ConfigurationError(f"{name}: the formula does not depend on the outputs; expected one of both arrays")
    right = _right(targets, output, target)
    return (score if right is None else structure.stack([score, right])), slope


def _counts(label: Expression, classes: int, ignored: int | None) -> Expression:
    """Whether a label is a class, or ignored."""
    known = apply("logical_and", apply("greater_equal", label, 0.0), apply("less", label, float(classes)))
    return known if ignored is None else apply("logical_or", known, apply("equal", label, float(ignored)))


def _right(targets: str, output: Expression, target: Expression) -> Expression | None:
    """The share of a row's answers that are right, (rows, 1), for classes and binary targets."""
    if targets == "classes":
        return as_number(apply("equal", structure.argmax(output), target))
    if targets == "binary":
        answers = [as_number(apply("greater", one, at)) for one, at in ((output, 0.0), (target, 0.5))]
        same = apply("equal", *answers)
        return structure.reduce("sum", as_number(same), (1,), True) / structure.mean_count(output, (1,))
    return None


def _one_pass(
    name: str, output: Expression, target: Expression, scores: Expression, slope: Expression
) -> Operation | None:
    """The operation that computes scores and gradient in one pass, with the arguments of every loss; None if that needs
    several."""
    groups = partition([scores, slope])
    if len(groups) != 1 or not groups[0].fused or len(output.shape) != 2 or scores is slope:
        return None
    found = groups[0]
    whole = Group(found.outer, found.width, True, found.nodes, [output, target], [scores, slope])
    return replace(operation_of(name, whole), role="loss", sliced=True)
