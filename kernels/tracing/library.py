"""The operations that compute single operators of traced functions: those of the library where one fits."""

from __future__ import annotations

from typing import Any

from ..arrays.columns import COLUMNS, COLUMNS_BACKWARD
from ..arrays.concatenate import JOIN
from ..arrays.matmul import MATMUL
from ..operation import Operation
from .expression import ROWS, Expression


def operation_for(node: Expression) -> tuple[Operation, dict[str, int]] | None:
    """The library's operation for a node and its attributes; None if there is none."""
    if node.operator == "matmul":
        a, b = node.inputs
        transpose_a, transpose_b = node.options
        if len(a.shape) == len(b.shape):
            return MATMUL, {"transpose_a": transpose_a, "transpose_b": transpose_b}
    elif node.operator == "concatenate" and len(node.inputs) == 2 and len(node.shape) == 2 and node.batch:
        return JOIN, {}
    elif node.operator in ("take", "place"):
        wide = node.inputs[0] if node.operator == "take" else node
        first = _first_column(wide, node.options[0].raw)
        if first is not None:
            return (COLUMNS if node.operator == "take" else COLUMNS_BACKWARD), {"first": first}
    return None


def _first_column(wide: Expression, index: tuple[Any, ...]) -> int | None:
    """The first column of an index that takes neighbouring columns of a matrix of rows; None for any other."""
    if len(wide.shape) != 2 or wide.shape[0] is not ROWS or len(index) != 2 or not isinstance(index[1], slice):
        return None
    start, stop, step = index[1].indices(wide.shape[1])
    return start if step == 1 and start < stop else None
