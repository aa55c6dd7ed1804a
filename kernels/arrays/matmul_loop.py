"""`matmul` as a compiled loop, for backends whose threads run operations together without a BLAS library.

The sums of an element run in one order, so bits do not depend on the number of threads. The work is divided into
chunks, each with scratch memory of its own: ranges of groups of `GROUP` rows of the stacked results, or ranges of
columns if one matrix has more columns than rows, so that each core reads as little as possible. A transposed a is
divided by its rows, because it may be copied.
"""

from __future__ import annotations

from typing import Any

from ...backends.thread_pool import share
from ...backends.vectors import turn
from ..dense.parts import Matrix, Tools, whole
from ..dense.product import LEFT, SCRATCH, VECTORS, product

GROUP = 8  # rows of a register tile
DEEP = 64  # terms of a sum from which copying a transposed a is faster, if they are FAR apart
FAR = 2048  # bytes: such strides use few sets of the cache
EDGE = 512  # rows of columns that do not fill a vector, computed at once


def scratch_size(lanes: int) -> int:
    """Elements of a chunk's scratch memory."""
    return SCRATCH + EDGE * lanes


def loop(
    start: int,
    stop: int,
    a: Any,
    b: Any,
    out: Any,
    scratch: Any,
    depth: int,
    stride: int,
    lanes: int,
    height: int,
    transposed: int,
) -> None:
    """out (matrices, m, n) = a·b over chunks `start` to `stop`; `scratch` (chunks, elements).

    a is (matrices, m, depth), or (matrices, depth, m) if `transposed`. b's rows have the stride `stride`, and full
    vectors may be read behind each.
    """
    matrices, m, n = out.shape
    groups = (m + GROUP - 1) // GROUP
    flat_a, flat_b, flat_out = a.reshape(-1), b.reshape(-1), out.reshape(-1)
    by_columns = matrices == 1 and n > m > 0 and not transposed
    for chunk in range(start, stop):
        tools = Tools(scratch[chunk], lanes, height, scratch[chunk][:0])
        if by_columns:
            low, high = share(n, chunk, scratch.shape[0], VECTORS * lanes)
            left, right = Matrix(flat_a, 0, depth, 1), Matrix(flat_b, low, stride, 1)
            multiply(m, high - low, depth, left, right, Matrix(flat_out, low, n, 1), 0, tools)
            continue
        first, last = share(matrices * groups, chunk, scratch.shape[0], 1)
        while first < last:
            matrix, group = first // groups, first % groups
            some = min(last - first, groups - group)
            row, rows = group * GROUP, min(some * GROUP, m - group * GROUP)
            at = matrix * m * depth
            left = Matrix(flat_a, at + row, 1, m) if transposed else Matrix(flat_a, at + row * depth, depth, 1)
            right = Matrix(flat_b, matrix * depth * stride, stride, 1)
            multiply(rows, n, depth, left, right, Matrix(flat_out, (matrix * m + row) * n, n, 1), transposed, tools)
            first += some


def multiply(
    rows: int, n: int, depth: int, left: Matrix, right: Matrix, out: Matrix, transposed: int, tools: Tools
) -> None:
    """out (rows, n) = left (rows, depth) · right (depth, n)."""
    lanes = tools.lanes
    vectors = n // lanes
    copies = int(transposed and depth >= DEEP and n > lanes and left.column * left.values.itemsize >= FAR)
    some = LEFT if copies else rows
    if vectors > 0:
        for row in range(0, rows, some):
            a = Matrix(left.values, left.start + row * left.row, left.row, left.column)
            c = Matrix(out.values, out.start + row * out.row, out.row, 1)
            product(min(some, rows - row), vectors, depth, a, right, c, 0, copies, tools)
    edge = n - vectors * lanes
    if edge > 0:
        b = Matrix(right.values, right.start + vectors * lanes, right.row, 1)
        c = Matrix(tools.scratch, SCRATCH, lanes, 1)
        for row in range(0, rows, min(some, EDGE)):
            size = min(some, EDGE, rows - row)
            a = Matrix(left.values, left.start + row * left.row, left.row, left.column)
            product(size, 1, depth, a, b, c, 0, copies, tools)
            for r in range(size):
                at = out.start + (row + r) * out.row + vectors * lanes
                target, source = out.values[at : at + edge], tools.scratch[SCRATCH + r * lanes :]
                for j in range(edge):
                    target[j] = source[j]


def transpose_loop(start: int, stop: int, b: Any, out: Any, lanes: int) -> None:
    """out (matrices, k, whole(n)) = b (matrices, n, k) transposed, over groups of `lanes` rows of out."""
    n, k = b.shape[1:]
    groups, stride = (k + lanes - 1) // lanes, out.shape[2]
    flat, turned = b.reshape(-1), out.reshape(-1)
    for item in range(start, stop):
        matrix, row = item // groups, item % groups * lanes
        given = Matrix(flat, matrix * n * k, k, 1)
        transpose_rows(row, n, k, given, Matrix(turned, matrix * k * stride, stride, 1), lanes)


def transpose_rows(row: int, n: int, k: int, b: Matrix, out: Matrix, lanes: int) -> None:
    """Up to `lanes` rows from `row` of out (k, n) = b (n, k) transposed; the columns of both are contiguous."""
    flat, turned = b.values, out.values
    for i in range(0, n, lanes):
        at, to = b.start + i * b.row + row, out.start + row * out.row + i
        if row + lanes <= k and i + lanes <= n:
            turn(flat, at, b.row, turned, to, out.row)
        else:
            for r in range(min(lanes, k - row)):
                for j in range(min(lanes, n - i)):
                    turned[to + r * out.row + j] = flat[at + j * b.row + r]


def transposed_shape(b: Any, lanes: int) -> tuple[int, int, int]:
    """The shape of the result of `transpose_loop`."""
    return b.shape[0], b.shape[2], whole(b.shape[1], lanes)
