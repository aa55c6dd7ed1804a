"""The value of expressions in array code: the definition of a traced operation, on any backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..dual import value_of
from .expression import ROWS, Expression, Shape, ordered, row_count
from .operators import OPERATORS
from .structure import for_arrays


def evaluate(xp: Any, ends: Sequence[Expression], arrays: Mapping[Expression, Any], rows: int) -> list[Any]:
    """The values of `ends`.

    Parameters
    ----------
    arrays : arrays and numbers, by the inputs that they are the values of.
    rows : of the batch.
    """
    whole = [a.dtype for a in arrays.values() if getattr(a, "shape", ()) and "float" in str(a.dtype)]
    dtype = next(iter(whole), np.dtype(float))
    known: dict[Expression, Any] = {row_count(): float(rows), **arrays}
    for node in ordered(ends):
        if node not in known:
            inputs = [known[one] for one in node.inputs]
            if node.operator in OPERATORS:
                known[node] = OPERATORS[node.operator].array(xp, *inputs)
            else:
                shape = sizes(node.shape, rows)
                if node.operator in ("broadcast", "expand") and isinstance(inputs[0], bool | int | float):
                    known[node] = xp.full(shape, inputs[0], dtype=dtype)
                else:
                    known[node] = ARRAY[node.operator](xp, node, shape, *inputs)
    return [known[end] for end in ends]


def sizes(shape: Shape, rows: int) -> tuple[int, ...]:
    """The shape of an array for a number of rows."""
    return tuple(rows if size is ROWS else size for size in shape)


def _matmul(xp: Any, node: Expression, shape: Any, a: Any, b: Any) -> Any:
    transpose_a, transpose_b = node.options
    a = xp.swapaxes(a, -1, -2) if transpose_a else a
    return xp.matmul(a, xp.swapaxes(b, -1, -2) if transpose_b else b)


def _place(xp: Any, node: Expression, shape: Any, g: Any) -> Any:
    index = for_arrays(node.options[0].raw)
    places = [place for place, one in enumerate(index) if isinstance(one, list)]
    result = _zeros(xp, g, shape)
    if not places:
        result[index] = g
        return result
    (axis,) = places
    for k, chosen in enumerate(index[axis]):  # a place may be chosen twice
        target = (*index[:axis], chosen, *index[axis + 1 :])
        axes_before = sum(isinstance(one, slice) for one in index[:axis])
        result[target] = result[target] + g[(*(slice(None),) * axes_before, k)]
    return result


def _zeros(xp: Any, like: Any, shape: tuple[int, ...]) -> Any:
    """Zeros that can hold what `like` holds, its tangent included."""
    zeros = getattr(xp, "xp", xp).zeros(shape, dtype=like.dtype)
    if value_of(like) is like:
        return zeros
    return type(like)(like.xp, zeros, like.xp.zeros(shape, dtype=like.dtype))


ARRAY: dict[str, Callable[..., Any]] = {
    "constant": lambda xp, node, shape: node.value,
    "column": lambda xp, node, shape: xp.arange(node.options[0]),
    "broadcast": lambda xp, node, shape, a: xp.broadcast_to(a, shape),
    "expand": lambda xp, node, shape, a: xp.broadcast_to(a, shape),
    "width": lambda xp, node, shape: float(node.options[0]),
    "stack": lambda xp, node, shape, *columns: xp.concatenate(columns, axis=1),
    "sum": lambda xp, node, shape, a: xp.sum(a, axis=-1, keepdims=True),
    "max": lambda xp, node, shape, a: xp.max(a, axis=-1, keepdims=True),
    "argmax": lambda xp, node, shape, a: xp.expand_dims(xp.argmax(a, axis=-1), -1),
    "sum_rows": lambda xp, node, shape, a: xp.sum(a, axis=0),
    "reshape": lambda xp, node, shape, a: xp.reshape(a, shape),
    "transpose": lambda xp, node, shape, a: xp.transpose(a, node.options[0]),
    "matmul": _matmul,
    "concatenate": lambda xp, node, shape, *arrays: xp.concatenate(arrays, axis=node.options[0]),
    "take": lambda xp, node, shape, a: a[for_arrays(node.options[0].raw)],
    "place": _place,
}
