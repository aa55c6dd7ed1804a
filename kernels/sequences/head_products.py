"""Products of a head's matrices, which lie in the columns of all heads; causal ones skip what rows do not see."""

from __future__ import annotations

from typing import Any

from ..arrays.matmul_loop import multiply, scratch_size, transpose_rows
from ..dense.parts import Matrix, Tools, whole

GROUP = 16  # rows of a causal product that are computed at once, up to the last column that one of them sees


def elements(length: int, width: int, lanes: int) -> int:
    """Elements of a chunk's scratch memory, for heads of `length` tokens and `width` features."""
    return scratch_size(lanes) + width * whole(length, lanes) + length * whole(width, lanes) + length * length


def head(matrix: int, x: Any, p: Any) -> tuple[Matrix, int]:
    """A head of x (rows, features), tokens by features, and its number of features."""
    n, features = p.shape[1], x.shape[1]
    heads = p.shape[0] * n // x.shape[0]
    width = features // heads
    return Matrix(x.reshape(-1), matrix // heads * n * features + matrix % heads * width, features, 1), width


def below(x: Matrix, row: int) -> Matrix:
    """The matrix from this row on."""
    return Matrix(x.values, x.start + row * x.row, x.row, x.column)


def turned_head(matrix: int, x: Any, p: Any, tools: Tools) -> Matrix:
    """A head of x transposed, in the scratch memory."""
    n, lanes = p.shape[1], tools.lanes
    given, width = head(matrix, x, p)
    turned = Matrix(tools.scratch, scratch_size(lanes), whole(n, lanes), 1)
    for row in range(0, width, lanes):
        transpose_rows(row, n, width, given, turned, lanes)
    return turned


def packed(x: Matrix, n: int, width: int, tools: Tools) -> Matrix:
    """A copy of a head whose rows are contiguous and full vectors, in the scratch memory."""
    lanes = tools.lanes
    stride, start = whole(width, lanes), scratch_size(lanes) + width * whole(n, lanes)
    for row in range(n):
        source = x.values[x.start + row * x.row : x.start + row * x.row + width]
        target = tools.scratch[start + row * stride : start + row * stride + width]
        for j in range(width):
            target[j] = source[j]
    return Matrix(tools.scratch, start, stride, 1)


def scores(matrix: int, q: Any, k: Any, p: Any, causal: int, tools: Tools) -> None:
    """p's matrix = q·kᵀ of a head, up to the columns that each group of rows sees."""
    n = p.shape[1]
    turned = turned_head(matrix, k, p, tools)
    left, width = head(matrix, q, p)
    reaching(n, width, left, turned, Matrix(p.reshape(-1), matrix * n * n, n, 1), causal, tools)


def values(matrix: int, p: Any, v: Any, y: Any, causal: int, tools: Tools) -> None:
    """y's head = p·v, from the rows of v that each group of rows sees."""
    n = p.shape[1]
    left = Matrix(p.reshape(-1), matrix * n * n, n, 1)
    out, width = head(matrix, y, p)
    seen(n, width, left, packed(head(matrix, v, p)[0], n, width, tools), out, causal, tools)


def reaching(n: int, width: int, left: Matrix, turned: Matrix, out: Matrix, causal: int, tools: Tools) -> None:
    """out (n, n) = left (n, width) · turned (width, n), of causal rows up to the columns that their group sees."""
    group = GROUP if causal else n
    for row in range(0, n, group):
        rows = min(group, n - row)
        multiply(rows, row + rows, width, below(left, row), turned, below(out, row), 0, tools)


def seen(n: int, width: int, left: Matrix, right: Matrix, out: Matrix, causal: int, tools: Tools) -> None:
    """out (n, width) = left (n, n) · right; a causal row t of left is 0 behind column t."""
    group = GROUP if causal else n
    for row in range(0, n, group):
        rows = min(group, n - row)
        multiply(rows, width, row + rows, below(left, row), right, below(out, row), 0, tools)


def seeing(n: int, width: int, left: Matrix, right: Matrix, out: Matrix, causal: int, tools: Tools) -> None:
    """out (n, width) = leftᵀ · right; a causal row t of left is 0 behind column t."""
    group = GROUP if causal else n
    for row in range(0, n, group):
        first = row if causal else 0
        part = Matrix(left.values, left.start + first * left.row + row, 1, left.row)
        multiply(min(group, n - row), width, n - first, part, below(right, first), below(out, row), 0, tools)
