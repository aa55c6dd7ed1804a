"""Traced functions as nodes of ONNX, operator by operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...kernels.tracing.expression import ROWS, Expression, ordered
from ..graph.graph import Node

SIMPLE = {
    "negative": "Neg",
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "pow": "Pow",
    "exp": "Exp",
    "log": "Log",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "sin": "Sin",
    "cos": "Cos",
    "sqrt": "Sqrt",
    "abs": "Abs",
    "sign": "Sign",
    "maximum": "Max",
    "minimum": "Min",
    "where": "Where",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "equal": "Equal",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_not": "Not",
    "stop_gradient": "Identity",
}
"""Operators that ONNX has too, with its names."""


def convert_formula(b: Any, node: Node) -> list[str]:
    """Appends the nodes of a traced operation to the builder `b`; returns the names of its results."""
    leaves, ends = node.operation.formula
    known = {leaf: b.name(value) for leaf, value in zip(leaves, node.inputs, strict=True)}
    each = next((value.rows_per_example for value in node.outputs if value.kind == "batch"), 1)
    for one in ordered(ends, known):
        if one not in known:
            inputs = [known[part] for part in one.inputs]
            if one.operator in SIMPLE:
                known[one] = b.add(SIMPLE[one.operator], *inputs)
            elif one.operator in ("broadcast", "expand"):
                known[one] = _expand(b, one, inputs[0], each)
            else:
                known[one] = OTHERS[one.operator](b, one, *inputs)
    return [known[end] for end in ends]


def _expand(b: Any, one: Expression, x: str, each: int) -> str:
    """x repeated to a shape, whose rows are those of the model's input, `each` for one of them."""
    if ROWS not in one.shape:
        return b.add("Expand", x, b.shape(*one.shape))
    rows = b.add("Mul", b.add("Slice", b.add("Shape", "x"), b.shape(0), b.shape(1)), b.shape(each))
    return b.add("Expand", x, b.add("Concat", rows, b.shape(*one.shape[1:]), axis=0))


def _reshape(b: Any, one: Expression, x: str) -> str:
    return b.add("Reshape", x, b.shape(*(-1 if size is ROWS else size for size in one.shape)))


def _matmul(b: Any, one: Expression, x: str, y: str) -> str:
    turned = []
    for name, part, flag in zip((x, y), one.inputs, one.options, strict=True):
        axes = [*range(len(part.shape) - 2), len(part.shape) - 1, len(part.shape) - 2]
        turned.append(b.add("Transpose", name, perm=axes) if flag else name)
    return b.add("MatMul", *turned)


def _take(b: Any, one: Expression, x: str) -> str:
    """One node for each axis that is not taken whole; an integer drops its axis."""
    axis = 0
    for chosen, size in zip(one.options[0].raw, one.inputs[0].shape, strict=False):
        if isinstance(chosen, slice):
            if chosen != slice(None):
                start, stop, step = chosen.indices(size)
                x = b.add("Slice", x, b.shape(start), b.shape(stop), b.shape(axis), b.shape(step))
            axis += 1
        else:
            x = b.add("Gather", x, b.constant(np.array(chosen, np.int64)), axis=axis)
            axis += isinstance(chosen, tuple)
    return x


def _number(b: Any, one: Expression, x: str) -> str:
    return b.add("Where", x, b.real(1), b.real(0))


def _argmax(b: Any, one: Expression, x: str) -> str:
    return b.add("Cast", b.add("ArgMax", x, axis=-1, keepdims=1), to=b.kind)


OTHERS: dict[str, Callable[..., str]] = {
    "constant": lambda b, one: b.constant(np.asarray(one.value, bool if one.kind == "bool" else b.dtype)),
    "column": lambda b, one: b.real(np.arange(one.options[0])),
    "width": lambda b, one: b.real(one.options[0]),
    "expm1": lambda b, one, x: b.add("Sub", b.add("Exp", x), b.real(1)),
    "log1p": lambda b, one, x: b.add("Log", b.add("Add", x, b.real(1))),
    "not_equal": lambda b, one, x, y: b.add("Not", b.add("Equal", x, y)),
    "number": _number,
    "sum": lambda b, one, x: b.add("ReduceSum", x, b.shape(-1), keepdims=1),
    "max": lambda b, one, x: b.add("ReduceMax", x, b.shape(-1), keepdims=1),
    "argmax": _argmax,
    "reshape": _reshape,
    "transpose": lambda b, one, x: b.add("Transpose", x, perm=list(one.options[0])),
    "matmul": _matmul,
    "concatenate": lambda b, one, *arrays: b.add("Concat", *arrays, axis=one.options[0]),
    "take": _take,
}
