"""Element-wise formulas of one array as activations of a fused MLP.

Its loops compute a row of a layer's outputs, and in training also the derivative there, in one pass: the two have most
of their expressions in common.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ..operation import Operation
from .derivatives import ZERO, gradients
from .expression import ROWS, Expression, array, broadcast, constant, ordered
from .generated import function
from .group import Group
from .loop_text import LoopText
from .lowering import kernel_name
from .operators import OPERATORS
from .traced_array import expression_of, traced


class VectorText(LoopText):
    """The loop of a group over vectors; to reshape an array takes longer than a short row."""

    part = "{}[start:stop]"


def traced_elementwise(formula: Callable[..., Any]) -> tuple[tuple[Expression, ...], tuple[Expression, ...]]:
    """The `Operation.formula` of a function of one array."""
    x = array("x", (ROWS,))
    return (x,), (expression_of(traced(formula, x)),)


@cache
def is_elementwise(operation: Operation) -> bool:
    """Whether the operation has a formula that computes each element from the same element of one array."""
    if not operation.formula or operation.loop is None:
        return False
    leaves, ends = operation.formula
    if len(leaves) != 1 or len(ends) != 1 or leaves[0].shape != ends[0].shape or leaves[0].kind != "real":
        return False
    return all(one.operator in (*OPERATORS, "input", "constant", "broadcast") for one in ordered(ends))


@cache
def activation_loop(operation: Operation, slope: bool) -> Callable[..., Any]:
    """``loop(start, stop, x, y)`` of an element-wise formula; with `slope`, ``loop(start, stop, x, y, slope)``.

    The arrays are vectors; y is the formula of x, and slope its derivative.
    """
    ((x,), (y,)) = operation.formula
    name, outputs = kernel_name(operation.name), [y]
    if slope:
        (found,) = gradients({y: broadcast(constant(1.0), y.shape)}, [x])
        name, outputs = f"{name}_with_slope", [y, broadcast(ZERO, y.shape) if found is None else found]
    return function(name, VectorText(name, Group(x.shape[:-1], x.shape[-1], True, [], [x], outputs)).source)
