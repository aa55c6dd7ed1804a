"""The array functions of traced functions, by the names of the array API standard: ``gs.xp``.

Called with symbols, they trace; called with arrays of NumPy, CuPy or any library of the standard, they compute, so a
formula can be tried on numbers.

>>> import numpy as np
>>> import gearshift as gs
>>> gs.xp.maximum(np.array([-1.0, 2.0]), 0.0)
array([0., 2.])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import structure
from .array_function import array_function, elementwise
from .expression import ROWS, Expression, apply, as_expression, as_number, broadcast, column
from .indexing import getitem_of, known_indices
from .refusal import refuse, refuse_shape
from .traced_array import METHODS, TracedArray, known, names, tracing

add = elementwise("add", "a + b.")
subtract = elementwise("subtract", "a − b.")
multiply = elementwise("multiply", "a · b.")
divide = elementwise("divide", "a / b.")
negative = elementwise("negative", "−x.")
exp = elementwise("exp", "eˣ.")
expm1 = elementwise("expm1", "eˣ − 1, exact near 0.")
log = elementwise("log", "The natural logarithm.")
log1p = elementwise("log1p", "log(1 + x), exact near 0.")
tanh = elementwise("tanh", "The hyperbolic tangent.")
sigmoid = elementwise("sigmoid", "1 / (1 + e⁻ˣ).")
sin = elementwise("sin", "The sine.")
cos = elementwise("cos", "The cosine.")
sqrt = elementwise("sqrt", "The square root.")
abs = elementwise("abs", "|x|; the derivative at 0 is 0.")
sign = elementwise("sign", "−1, 0 or 1.")
maximum = elementwise("maximum", "The greater of a and b; the derivative is halved where they are equal.")
minimum = elementwise("minimum", "The lesser of a and b; the derivative is halved where they are equal.")
where = elementwise("where", "a where the condition holds, else b.")
less = elementwise("less", "a < b.")
less_equal = elementwise("less_equal", "a ≤ b.")
greater = elementwise("greater", "a > b.")
greater_equal = elementwise("greater_equal", "a ≥ b.")
equal = elementwise("equal", "a = b.")
not_equal = elementwise("not_equal", "a ≠ b.")
logical_and = elementwise("logical_and", "Both.")
logical_or = elementwise("logical_or", "Either.")
logical_not = elementwise("logical_not", "Not.")
stop_gradient = elementwise("stop_gradient", "x, as a constant: its derivative is 0.")


@array_function
def pow(x: Any, exponent: Any) -> Expression:
    """x to a power."""
    if exponent in (0.5, -1, 2, 3) if isinstance(exponent, int | float) else False:
        square = apply("multiply", x, x)
        powers = {2: square, 3: apply("multiply", square, x)}
        if exponent in powers:
            return powers[exponent]
        return apply("sqrt", x) if exponent == 0.5 else apply("divide", 1.0, x)
    return apply("pow", x, exponent)


@array_function
def square(x: Any) -> Expression:
    """x²."""
    return apply("multiply", x, x)


@array_function
def reciprocal(x: Any) -> Expression:
    """1 / x."""
    return apply("divide", 1.0, x)


@array_function
def clip(x: Any, min: Any = None, max: Any = None) -> Expression:
    """x between two bounds; on a bound the derivative is that of x."""
    if min is not None:
        x = apply("where", apply("less", x, min), min, x)
    return x if max is None else apply("where", apply("greater", x, max), max, x)


def _axes(x: Expression, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    """The axes of a reduction, as positive numbers in order."""
    count = len(x.shape)
    given = tuple(range(count)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    if any(not -count <= one < count for one in given):
        refuse_shape(f"axis {axis} of an array of shape {x.shape}; expected an axis between {-count} and {count - 1}")
    axes = tuple(sorted({one % count for one in given}))
    if x.batch and 0 in axes:
        refuse(
            f"a reduction of {x.shape} over axis {axis}, which is that of the rows; rows are independent in a traced "
            "function: expected another axis, such as axis=-1"
        )
    return axes


@array_function
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    """The sum along axes other than that of the rows."""
    x = as_number(x)
    return structure.reduce("sum", x, _axes(x, axis), keepdims)


@array_function
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    """The mean along axes other than that of the rows."""
    x = as_number(x)
    axes = _axes(x, axis)
    return structure.reduce("sum", x, axes, keepdims) / structure.mean_count(x, axes)


@array_function
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    """The mean squared deviation from the mean."""
    axes = _axes(x, axis)
    count = structure.mean_count(x, axes)
    deviation = x - structure.reduce("sum", x, axes, True) / count
    return structure.reduce("sum", deviation * deviation, axes, keepdims) / count


@array_function
def max(x: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    """The maximum along axes other than that of the rows; its first place has the derivative."""
    return structure.reduce("max", x, _axes(x, axis), keepdims)


@array_function
def min(x: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    """The minimum along axes other than that of the rows; its first place has the derivative."""
    return -structure.reduce("max", -x, _axes(x, axis), keepdims)


@array_function
def matmul(a: Any, b: Any) -> Expression:
    """The matrix product."""
    return structure.matmul(as_expression(a), as_expression(b))


@array_function
def reshape(x: Any, *shape: Any) -> Expression:
    """x in another shape, with the same rows: ``(x.shape[0], …)`` or ``(-1, …)``."""
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], list | tuple) else shape
    return structure.reshape(x, structure.shape_of(x, sizes))


@array_function
def permute_dims(x: Any, axes: Sequence[int]) -> Expression:
    """x with its axes in another order; the rows stay first."""
    count = len(x.shape)
    if sorted(axis % count for axis in axes) != list(range(count)):
        refuse_shape(f"permute_dims of {x.shape} by {tuple(axes)}; expected each axis once")
    return structure.transpose(x, tuple(axis % count for axis in axes))


@array_function
def matrix_transpose(x: Any) -> Expression:
    """x with its last two axes swapped."""
    count = len(x.shape)
    return structure.transpose(x, (*range(count - 2), count - 1, count - 2))


@array_function
def concat(arrays: Any, axis: int = -1) -> Expression:
    """Arrays one after another along an axis other than that of the rows."""
    return structure.concatenate([as_expression(one) for one in arrays], axis)


@array_function
def expand_dims(x: Any, axis: int) -> Expression:
    """x with a new axis of size 1."""
    place = axis % (len(x.shape) + 1)
    if x.batch and place == 0:
        refuse_shape(f"expand_dims of {x.shape} at axis {axis}; expected the rows to stay first")
    return structure.reshape(x, (*x.shape[:place], 1, *x.shape[place:]))


@array_function
def squeeze(x: Any, axis: int) -> Expression:
    """x without an axis of size 1."""
    place = axis % len(x.shape)
    if x.shape[place] != 1:
        refuse_shape(f"squeeze of {x.shape} at axis {axis}; expected an axis of size 1")
    return structure.reshape(x, (*x.shape[:place], *x.shape[place + 1 :]))


@array_function
def take(x: Any, indices: Any, axis: int) -> Expression:
    """The elements at some indices (integers, known in advance) along an axis other than that of the rows."""
    return getitem_of(x, (*(slice(None),) * (axis % len(x.shape)), known_indices(indices)))


@array_function
def getitem(x: Any, key: Any) -> Expression:
    """x[key]."""
    return getitem_of(x, key if isinstance(key, tuple) else (key,))


def arange(stop: int) -> Any:
    """0, 1, … stop − 1, to compare with: ``gs.xp.arange(n) == label[:, None]``."""
    if not tracing():
        return np.arange(stop)
    if stop is ROWS:
        refuse(
            "arange of the rows of a batch, whose number is not known; to take an element of each row, write "
            "gs.xp.where(gs.xp.arange(n) == label[:, None], x, 0.0).sum(axis=-1)"
        )
    return TracedArray(column(int(stop)))


@array_function
def zeros_like(x: Any) -> Expression:
    """Zeros of the shape of x."""
    return structure.zeros_like(x)


@array_function
def ones_like(x: Any) -> Expression:
    """Ones of the shape of x."""
    return structure.zeros_like(x) + broadcast(as_expression(1.0), x.shape)


def relu(x: Any) -> Any:
    """max(x, 0); the derivative at 0 is 0, as PyTorch's."""
    return where(x <= 0.0, 0.0, x)


def softplus(x: Any) -> Any:
    """log(1 + eˣ), without overflow."""
    return where(x < 0.0, 0.0, x) + log1p(exp(where(x < 0.0, x, -x)))


def logsumexp(x: Any, axis: int = -1, keepdims: bool = False) -> Any:
    """log Σ eˣ along an axis, without overflow."""
    most = stop_gradient(max(x, axis=axis, keepdims=True))
    total = log(sum(exp(x - most), axis=axis, keepdims=True)) + most
    return total if keepdims else squeeze(total, axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """x − log Σ eˣ along an axis."""
    return x - logsumexp(x, axis=axis, keepdims=True)


def softmax(x: Any, axis: int = -1) -> Any:
    """eˣ / Σ eˣ along an axis."""
    e = exp(x - stop_gradient(max(x, axis=axis, keepdims=True)))
    return e / sum(e, axis=axis, keepdims=True)


def __getattr__(name: str) -> Any:
    raise AttributeError(f"gs.xp has no {name!r}; {known()}")


def __dir__() -> list[str]:
    return names()


METHODS.update(relu=relu, softplus=softplus, logsumexp=logsumexp, log_softmax=log_softmax, softmax=softmax)
