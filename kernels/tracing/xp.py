"""The array functions of traced functions, by the names of the array API standard: ``gs.xp``.

Called with symbols, they trace; called with arrays of NumPy, CuPy or any library of the standard, they compute, so a
formula can be tried on numbers.

>>> import numpy as np
>>> import gearshift as gs
>>> gs.xp.maximum(np.array([-1.0, 2.0]), 0.0)
array([0., 2.])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from . import structure
from .expression import ROWS, Expression, as_expression, as_number, broadcast, column
from .expression import apply as elementwise
from .indexing import getitem_of, known_indices
from .operators import OPERATORS
from .refusal import refuse, refuse_shape
from .traced_array import METHODS, TracedArray, expression_of, has_traced, known, names, tracing


def namespace(values: Any) -> Any:
    """The array module of the first array; NumPy for numbers."""
    for value in values:
        if hasattr(value, "__array_namespace__"):
            return value.__array_namespace__()
    return np


def _function(trace: Callable[..., Expression]) -> Callable[..., Any]:
    """An array function: `trace` on symbols, the function of the same name of an array module on arrays."""
    name = trace.__name__.rstrip("_")

    @wraps(trace)
    def call(*values: Any, **options: Any) -> Any:
        given = values[0] if isinstance(values[0], list | tuple) else values
        if not has_traced(given):
            return getattr(namespace(given), name)(*values, **options)
        inputs = [list(map(expression_of, value)) if isinstance(value, list) else value for value in values]
        return TracedArray(trace(*map(expression_of, inputs), **options))

    METHODS[name] = call
    return call


def _elementwise(name: str, doc: str) -> Callable[..., Any]:
    def call(*values: Any) -> Any:
        if has_traced(values):
            return TracedArray(elementwise(name, *map(expression_of, values)))
        return OPERATORS[name].array(namespace(values), *values)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    METHODS[name] = call
    return call


add = _elementwise("add", "a + b.")
subtract = _elementwise("subtract", "a − b.")
multiply = _elementwise("multiply", "a · b.")
divide = _elementwise("divide", "a / b.")
negative = _elementwise("negative", "−x.")
exp = _elementwise("exp", "eˣ.")
expm1 = _elementwise("expm1", "eˣ − 1, exact near 0.")
log = _elementwise("log", "The natural logarithm.")
log1p = _elementwise("log1p", "log(1 + x), exact near 0.")
tanh = _elementwise("tanh", "The hyperbolic tangent.")
sigmoid = _elementwise("sigmoid", "1 / (1 + e⁻ˣ).")
sin = _elementwise("sin", "The sine.")
cos = _elementwise("cos", "The cosine.")
sqrt = _elementwise("sqrt", "The square root.")
abs = _elementwise("abs", "|x|; the derivative at 0 is 0.")
sign = _elementwise("sign", "−1, 0 or 1.")
maximum = _elementwise("maximum", "The greater of a and b; the derivative is halved where they are equal.")
minimum = _elementwise("minimum", "The lesser of a and b; the derivative is halved where they are equal.")
where = _elementwise("where", "a where the condition holds, else b.")
less = _elementwise("less", "a < b.")
less_equal = _elementwise("less_equal", "a ≤ b.")
greater = _elementwise("greater", "a > b.")
greater_equal = _elementwise("greater_equal", "a ≥ b.")
equal = _elementwise("equal", "a = b.")
not_equal = _elementwise("not_equal", "a ≠ b.")
logical_and = _elementwise("logical_and", "Both.")
logical_or = _elementwise("logical_or", "Either.")
logical_not = _elementwise("logical_not", "Not.")
stop_gradient = _elementwise("stop_gradient", "x, as a constant: its derivative is 0.")


@_function
def pow(x: Any, exponent: Any) -> Expression:
    """x to a power."""
    if exponent in (0.5, -1, 2, 3) if isinstance(exponent, int | float) else False:
        square = elementwise("multiply", x, x)
        powers = {2: square, 3: elementwise("multiply", square, x)}
        if exponent in powers:
            return powers[exponent]
        return elementwise("sqrt", x) if exponent == 0.5 else elementwise("divide", 1.0, x)
    return elementwise("pow", x, exponent)


@_function
def square(x: Any) -> Expression:
    """x²."""
    return elementwise("multiply", x, x)


@_function
def reciprocal(x: Any) -> Expression:
    """1 / x."""
    return elementwise("divide", 1.0, x)


@_function
def clip(x: Any, min: Any = None, max: Any = None) -> Expression:
    """x between two bounds; on a bound the derivative is that of x."""
    if min is not None:
        x = elementwise("where", elementwise("less", x, min), min, x)
    return x if max is None else elementwise("where", elementwise("greater", x, max), max, x)


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


@_function
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    """The sum along axes other than that of the rows."""
    x = as_number(x)
    return structure.reduce("sum", x, _axes(x, axis), keepdims)


@_function
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    """The mean along axes other than that of the rows."""
    x = as_number(x)
    axes = _axes(x, axis)
    return structure.reduce("sum", x, axes, keepdims) / structure.mean_count(x, axes)


@_function
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    """The mean squared deviation from the mean."""
    axes = _axes(x, axis)
    count = structure.mean_count(x, axes)
    deviation = x - structure.reduce("sum", x, axes, True) / count
    return structure.reduce("sum", deviation * deviation, axes, keepdims) / count


@_function
def max(x: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    """The maximum along axes other than that of the rows; its first place has the derivative."""
    return structure.reduce("max", x, _axes(x, axis), keepdims)


@_function
def min(x: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    """The minimum along axes other than that of the rows; its first place has the derivative."""
    return -structure.reduce("max", -x, _axes(x, axis), keepdims)


@_function
def matmul(a: Any, b: Any) -> Expression:
    """The matrix product."""
    return structure.matmul(as_expression(a), as_expression(b))


@_function
def reshape(x: Any, *shape: Any) -> Expression:
    """x in another shape, with the same rows: ``(x.shape[0], …)`` or ``(-1, …)``."""
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], list | tuple) else shape
    return structure.reshape(x, structure.shape_of(x, sizes))


@_function
def permute_dims(x: Any, axes: Sequence[int]) -> Expression:
    """x with its axes in another order; the rows stay first."""
    count = len(x.shape)
    if sorted(axis % count for axis in axes) != list(range(count)):
        refuse_shape(f"permute_dims of {x.shape} by {tuple(axes)}; expected each axis once")
    return structure.transpose(x, tuple(axis % count for axis in axes))


@_function
def matrix_transpose(x: Any) -> Expression:
    """x with its last two axes swapped."""
    count = len(x.shape)
    return structure.transpose(x, (*range(count - 2), count - 1, count - 2))


@_function
def concat(arrays: Any, axis: int = -1) -> Expression:
    """Arrays one after another along an axis other than that of the rows."""
    return structure.concatenate([as_expression(one) for one in arrays], axis)


@_function
def expand_dims(x: Any, axis: int) -> Expression:
    """x with a new axis of size 1."""
    place = axis % (len(x.shape) + 1)
    if x.batch and place == 0:
        refuse_shape(f"expand_dims of {x.shape} at axis {axis}; expected the rows to stay first")
    return structure.reshape(x, (*x.shape[:place], 1, *x.shape[place:]))


@_function
def squeeze(x: Any, axis: int) -> Expression:
    """x without an axis of size 1."""
    place = axis % len(x.shape)
    if x.shape[place] != 1:
        refuse_shape(f"squeeze of {x.shape} at axis {axis}; expected an axis of size 1")
    return structure.reshape(x, (*x.shape[:place], *x.shape[place + 1 :]))


@_function
def take(x: Any, indices: Any, axis: int) -> Expression:
    """The elements at some indices (integers, known in advance) along an axis other than that of the rows."""
    return getitem_of(x, (*(slice(None),) * (axis % len(x.shape)), known_indices(indices)))


@_function
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


@_function
def zeros_like(x: Any) -> Expression:
    """Zeros of the shape of x."""
    return structure.zeros_like(x)


@_function
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
