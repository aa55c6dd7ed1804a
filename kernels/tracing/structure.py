"""The operators of traced functions that are not element-wise: reductions, products, and moving elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .expression import ROWS, Expression, Shape, broadcast, constant, make
from .refusal import refuse, refuse_shape


def reduce(operator: str, a: Expression, axes: tuple[int, ...], keepdims: bool) -> Expression:
    """``"sum"`` or ``"max"`` along some axes."""
    kept = tuple(1 if place in axes else size for place, size in enumerate(a.shape))
    dropped = tuple(size for place, size in enumerate(a.shape) if place not in axes)
    if axes:
        rest = [place for place in range(len(a.shape)) if place not in axes]
        moved = transpose(a, (*rest, *axes))
        width = math.prod(a.shape[place] for place in axes)
        a = reshape(moved, (*(a.shape[place] for place in rest), width))
        a = make(operator, (a,), (*a.shape[:-1], 1)) if width != 1 else a
    return reshape(a, kept if keepdims else dropped)


def argmax(a: Expression) -> Expression:
    """The place of the first maximum along the last axis, which is kept with size 1."""
    return make("argmax", (a,), (*a.shape[:-1], 1), "int")


def sum_rows(a: Expression) -> Expression:
    """The sum over the rows of the batch."""
    return make("sum_rows", (a,), a.shape[1:])


def sum_to(g: Expression, shape: Shape) -> Expression:
    """The gradient of an array of this shape that was repeated to the shape of g: the sum over the repetitions."""
    if g.shape == shape:
        return g
    size = len(g.shape) - len(shape)
    aligned = (*(1,) * size, *shape)
    axes = [place for place, (own, wanted) in enumerate(zip(g.shape, aligned, strict=True)) if own != wanted]
    rows = 0 in axes and g.shape[0] is ROWS
    inner = tuple(place for place in axes if place or not rows)
    if inner:
        g = reduce("sum", g, inner, keepdims=True)
    return reshape(sum_rows(g) if rows else g, shape)


def reshape(a: Expression, shape: Shape) -> Expression:
    """The elements of a in another shape, with the same rows."""
    if a.shape == shape:
        return a
    if a.operator == "reshape":
        return reshape(a.inputs[0], shape)
    return make("reshape", (a,), shape, a.kind)


def shape_of(a: Expression, sizes: Sequence[Any]) -> Shape:
    """The shape that a user gives to `reshape`, with −1 replaced.

    Raises
    ------
    ShapeError
        The sizes do not fit.
    """
    sizes = tuple(sizes)
    if a.batch:
        if not sizes or (sizes[0] is not ROWS and sizes[0] != -1):
            refuse_shape(f"reshape of {a.shape} to {sizes}; expected the rows first: (x.shape[0], …) or (-1, …)")
        own, given = a.shape[1:], sizes[1:]
    else:
        own, given = a.shape, sizes
    known = math.prod(size for size in given if size != -1)
    if -1 in given and known:
        given = tuple(math.prod(own) // known if size == -1 else size for size in given)
    if math.prod(given) != math.prod(own) or given.count(-1):
        refuse_shape(f"reshape of {a.shape} to {sizes}: the numbers of elements differ")
    return (ROWS, *given) if a.batch else given


def transpose(a: Expression, axes: tuple[int, ...]) -> Expression:
    """a with its axes in another order."""
    if axes == tuple(range(len(a.shape))):
        return a
    if a.batch and axes[0] != 0:
        refuse_shape(f"transpose of {a.shape} by {axes}; expected the rows to stay first")
    return make("transpose", (a,), tuple(a.shape[axis] for axis in axes), a.kind, axes)


def inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The order of axes that undoes `axes`."""
    return tuple(axes.index(place) for place in range(len(axes)))


def matmul(a: Expression, b: Expression, transpose_a: int = 0, transpose_b: int = 0) -> Expression:
    """The matrix product, of stacks pairwise; `transpose_a` says that the last two axes of a are swapped first."""
    if len(a.shape) < 2 or len(b.shape) < 2:
        refuse_shape(f"matmul of {a.shape} and {b.shape}; expected arrays of two axes or more")
    m, k = (a.shape[-1], a.shape[-2]) if transpose_a else a.shape[-2:]
    other, n = (b.shape[-1], b.shape[-2]) if transpose_b else b.shape[-2:]
    if k != other or n is ROWS:
        refuse_shape(f"matmul of {a.shape} and {b.shape}; expected (…, m, k) and (…, k, n)")
    stack, stack_b = a.shape[:-2], b.shape[:-2]
    if stack_b not in ((), stack):
        refuse_shape(f"matmul of {a.shape} and {b.shape}; expected the same first axes, or a matrix second")
    return make("matmul", (a, b), (*stack, m, n), "real", transpose_a, transpose_b)


def matmul_gradients(node: Expression, g: Expression) -> tuple[Expression, Expression]:
    """da = g·bᵀ and db = aᵀ·g; the operands of formulas are not transposed, those of gradients may be."""
    a, b = node.inputs
    transpose_a, transpose_b = node.options
    da = matmul(b, g, transpose_b, 1) if transpose_a else matmul(g, b, 0, 1 - transpose_b)
    db = matmul(g, a, 1, transpose_a) if transpose_b else matmul(a, g, 1 - transpose_a, 0)
    return da, sum_to(db, b.shape)


def concatenate(arrays: Sequence[Expression], axis: int) -> Expression:
    """The arrays one after another along an axis."""
    first = arrays[0].shape
    axis = axis % len(first) if -len(first) <= axis < len(first) else -1
    shapes = [one.shape for one in arrays]
    if axis < 0 or (first[:1] == (ROWS,) and axis == 0):
        refuse(f"concat of {shapes} along axis {axis}; expected an axis other than that of the rows")
    if any(len(s) != len(first) or (s[:axis], s[axis + 1 :]) != (first[:axis], first[axis + 1 :]) for s in shapes):
        refuse_shape(f"concat of {shapes} along axis {axis}, which differ along another axis")
    shape = (*first[:axis], sum(s[axis] for s in shapes), *first[axis + 1 :])
    return make("concatenate", tuple(arrays), shape, "real", axis)


def split(g: Expression, node: Expression) -> tuple[Expression, ...]:
    """The parts of g that belong to the arrays that `node` concatenated."""
    (axis,), found, start = node.options, [], 0
    for one in node.inputs:
        stop = start + one.shape[axis]
        found.append(take(g, (*(slice(None),) * axis, slice(start, stop))))
        start = stop
    return tuple(found)


def take(a: Expression, index: tuple[Any, ...]) -> Expression:
    """a[index]; the index holds slices, integers and one tuple of integers at most, and takes all rows."""
    sizes = tuple(0 if size is ROWS else size for size in a.shape)
    shape = np.broadcast_to(0, sizes)[for_arrays(index)].shape
    result = (ROWS, *shape[1:]) if a.batch else tuple(shape)
    return a if result == a.shape and _all(index) else make("take", (a,), result, a.kind, Index(index))


def place(g: Expression, index: Index, shape: Shape) -> Expression:
    """Zeros of a shape, with g added at an index."""
    return make("place", (g,), shape, "real", index)


class Index(tuple[Any, ...]):
    """An index that can be hashed: slices become tuples of their three numbers."""

    def __new__(cls, index: Sequence[Any]) -> Index:
        return super().__new__(cls, (("slice", i.start, i.stop, i.step) if isinstance(i, slice) else i for i in index))

    @property
    def raw(self) -> tuple[Any, ...]:
        """The index with slices."""
        return tuple(slice(*i[1:]) if isinstance(i, tuple) and i[:1] == ("slice",) else i for i in self)


def for_arrays(index: Sequence[Any]) -> tuple[Any, ...]:
    """The index as arrays take it: tuples of integers become lists."""
    return tuple(list(i) if isinstance(i, tuple) else i for i in index)


def _all(index: tuple[Any, ...]) -> bool:
    return all(i == slice(None) for i in index)


def stack(columns: Sequence[Expression]) -> Expression:
    """Arrays (rows, 1) as the columns of one; only a result, not an operand."""
    return make("stack", tuple(columns), (ROWS, len(columns)))


def mean_count(a: Expression, axes: tuple[int, ...]) -> Expression:
    """The number of elements along some axes."""
    if axes == (len(a.shape) - 1,):
        return make("width", (), (), "real", a.shape[-1])
    return constant(float(math.prod(a.shape[place] for place in axes)))


def zeros_like(a: Expression) -> Expression:
    """Zeros of the shape of a."""
    return broadcast(constant(0.0), a.shape)
