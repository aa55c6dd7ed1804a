"""Dual numbers: tangents of any operation, by running its reference on pairs of a value and its tangent.

An operation's reference is array code, so it can run on dual numbers (Clifford 1873) with an array module that knows
their rules: f(a + ȧε) = f(a) + f'(a) ȧ ε, with ε² = 0. The result is the exact derivative along the inputs' tangents,
not a finite difference.

At a kink the derivative is that of PyTorch: ``where`` uses the branch taken, ``abs`` has 0, ``maximum`` and
``minimum`` of equal numbers have the mean of both. References must not combine two of these in a smooth function,
such as ``where(z < 0, …)`` and ``abs(z)``: the derivative would be wrong at the boundary.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends.errors import ConfigurationError
from .dual_rules import DERIVATIVES, LINEAR, OF_VALUES, OPERATORS


class NoTangent(ConfigurationError):
    """Raised when an array function has no rule for dual numbers."""


class Dual:
    """An array and its tangent, of the same shape."""

    __slots__ = ("tangent", "value", "xp")
    __array_ufunc__ = None  # so that NumPy arrays defer to the operators of this class
    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __init__(self, xp: Any, value: Any, tangent: Any) -> None:
        self.xp, self.value = xp, value
        self.tangent = tangent if tangent.shape == value.shape else xp.broadcast_to(tangent, value.shape)

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    T = property(lambda self: Dual(self.xp, self.value.T, self.tangent.T))

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, key: Any) -> Dual:
        return Dual(self.xp, self.value[key], self.tangent[key])

    def __setitem__(self, key: Any, other: Any) -> None:
        self.value[key] = value_of(other)
        self.tangent[key] = other.tangent if isinstance(other, Dual) else 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Methods such as ``x.sum(axis=1)`` call the array function of that name."""
        if name.startswith("__"):
            raise AttributeError(name)
        function = getattr(DualNamespace(self.xp), name)
        if name in ("reshape", "transpose"):
            return lambda *axes: function(self, axes[0] if len(axes) == 1 else axes or None)
        return lambda *arguments, **options: function(self, *arguments, **options)

    def __neg__(self) -> Dual:
        return Dual(self.xp, -self.value, -self.tangent)

    def __pos__(self) -> Dual:
        return self

    def __abs__(self) -> Dual:
        return DualNamespace(self.xp).abs(self)

    def __float__(self) -> float:
        raise NoTangent("float() of an array is not differentiable; use array functions")


def value_of(x: Any) -> Any:
    """The array without its tangent."""
    return x.value if isinstance(x, Dual) else x


def tangent_of(x: Any) -> Any:
    """The tangent of x, or 0 if it has none."""
    return x.tangent if isinstance(x, Dual) else 0


def _product(operation: Callable[..., Any]) -> Callable[[Any, Any, Any], Dual]:
    """The product rule of an operation that is linear in each of two factors."""

    def rule(xp: Any, a: Any, b: Any) -> Dual:
        x, y = value_of(a), value_of(b)
        terms = [operation(a.tangent, y)] if isinstance(a, Dual) else []
        terms += [operation(x, b.tangent)] if isinstance(b, Dual) else []
        return Dual(xp, operation(x, y), sum(terms[1:], terms[0]))

    return rule


def _sum(sign: int) -> Callable[[Any, Any, Any], Dual]:
    def rule(xp: Any, a: Any, b: Any) -> Dual:
        da, db = tangent_of(a), tangent_of(b)
        x, y = value_of(a), value_of(b)
        return Dual(xp, x + y, da + db) if sign > 0 else Dual(xp, x - y, da - db)

    return rule


def _quotient(xp: Any, a: Any, b: Any) -> Dual:
    y = value_of(b)
    ratio = value_of(a) / y
    return Dual(xp, ratio, (tangent_of(a) - ratio * tangent_of(b)) / y)


def _power(xp: Any, a: Any, b: Any) -> Dual:
    x, y = value_of(a), value_of(b)
    result = x**y
    slope = xp.where(xp.asarray(y) == 0, 0, y * x ** (y - 1))
    if not isinstance(b, Dual):
        return Dual(xp, result, slope * a.tangent)
    nothing = xp.asarray(x) == 0  # log x would be infinite, but 0 to a positive power is 0
    growth = xp.where(nothing, 0, result * xp.log(xp.where(nothing, 1, x)))
    return Dual(xp, result, slope * tangent_of(a) + growth * b.tangent)


BINARY: dict[str, Callable[[Any, Any, Any], Dual]] = {
    "add": _sum(1),
    "sub": _sum(-1),
    "mul": _product(operator.mul),
    "matmul": _product(operator.matmul),
    "truediv": _quotient,
    "pow": _power,
}


def _give_operators() -> None:
    def give(name: str, rule: Callable[[Any, Any, Any], Dual]) -> None:
        def there(self: Dual, other: Any) -> Dual:
            return rule(self.xp, self, other)

        def back(self: Dual, other: Any) -> Dual:
            return rule(self.xp, other, self)

        def in_place(self: Dual, other: Any) -> Dual:
            self[...] = rule(self.xp, self, other)
            return self

        for kind, method in (("", there), ("r", back), ("i", in_place)):
            setattr(Dual, f"__{kind}{name}__", method)

    def give_comparison(compare: Callable[[Any, Any], Any]) -> None:
        def method(self: Dual, other: Any) -> Any:
            return compare(self.value, value_of(other))

        setattr(Dual, f"__{compare.__name__}__", method)

    for name, rule in BINARY.items():
        give(name, rule)
    for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        give_comparison(compare)


_give_operators()


class DualNamespace:
    """The array module `xp` with functions that also accept dual numbers."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def __getattr__(self, name: str) -> Any:
        plain = getattr(self.xp, name)
        if not callable(plain) or isinstance(plain, type):
            return plain

        def function(*arguments: Any, out: Any = None, **options: Any) -> Any:
            result = self._call(name, plain, arguments, options)
            if out is None:
                return result
            out[...] = result
            return out

        return function

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """a where the condition holds, else b."""
        xp, condition = self.xp, value_of(condition)
        chosen = xp.where(condition, value_of(a), value_of(b))
        if not (isinstance(a, Dual) or isinstance(b, Dual)):
            return chosen
        zero = xp.zeros_like(chosen)
        das, dbs = (x.tangent if isinstance(x, Dual) else zero for x in (a, b))
        return Dual(xp, chosen, xp.where(condition, das, dbs))

    def maximum(self, a: Any, b: Any) -> Any:
        """Element-wise maximum; the mean of both tangents where the values are equal."""
        return self._either(self.xp.maximum, operator.gt, a, b)

    def minimum(self, a: Any, b: Any) -> Any:
        """Element-wise minimum; the mean of both tangents where the values are equal."""
        return self._either(self.xp.minimum, operator.lt, a, b)

    def clip(self, x: Any, low: Any = None, high: Any = None) -> Any:
        """x clipped to two bounds; on a bound the tangent is that of x."""
        x = x if low is None else self.where(value_of(x) < value_of(low), low, x)
        return x if high is None else self.where(value_of(x) > value_of(high), high, x)

    def max(self, x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
        """Maximum along an axis, with the tangent of the first maximum."""
        return self._extreme("max", "argmax", x, axis, keepdims)

    def min(self, x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
        """Minimum along an axis, with the tangent of the first minimum."""
        return self._extreme("min", "argmin", x, axis, keepdims)

    def var(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """The variance (mean squared deviation)."""
        deviation = x - self.mean(x, axis=axis, keepdims=True)
        return self.mean(deviation * deviation, axis=axis, keepdims=keepdims)

    def std(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """The square root of `var`."""
        return self.sqrt(self.var(x, axis=axis, keepdims=keepdims))

    def einsum(self, terms: str, *factors: Any) -> Any:
        """A sum of products, which is linear in each factor."""
        values = [value_of(factor) for factor in factors]
        result = self.xp.einsum(terms, *values)
        parts = [
            self.xp.einsum(terms, *values[:i], factor.tangent, *values[i + 1 :])
            for i, factor in enumerate(factors)
            if isinstance(factor, Dual)
        ]
        return Dual(self.xp, result, sum(parts[1:], parts[0])) if parts else result

    def _either(self, function: Any, better: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
        x, y, xp = value_of(a), value_of(b), self.xp
        value = function(x, y)
        if not (isinstance(a, Dual) or isinstance(b, Dual)):
            return value
        da, db = tangent_of(a) + xp.zeros_like(value), tangent_of(b) + xp.zeros_like(value)
        return Dual(xp, value, xp.where(better(x, y), da, xp.where(better(y, x), db, (da + db) / 2)))

    def _extreme(self, name: str, place: str, x: Any, axis: int | None, keepdims: bool) -> Any:
        xp = self.xp
        if not isinstance(x, Dual):
            return getattr(xp, name)(x, axis=axis, keepdims=keepdims)
        value = getattr(xp, name)(x.value, axis=axis, keepdims=keepdims)
        if axis is None:
            return Dual(xp, value, xp.reshape(xp.ravel(x.tangent)[getattr(xp, place)(x.value)], value.shape))
        where = xp.expand_dims(getattr(xp, place)(x.value, axis=axis), axis)
        return Dual(xp, value, xp.reshape(xp.take_along_axis(x.tangent, where, axis), value.shape))

    def _call(self, name: str, plain: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        xp, first = self.xp, arguments[0] if arguments else None
        several = isinstance(first, list | tuple) and any(isinstance(x, Dual) for x in first)
        if not several and not any(isinstance(x, Dual) for x in arguments):
            return plain(*arguments, **options)
        rest = arguments[1:]
        if name in OPERATORS:
            return BINARY[OPERATORS[name]](xp, *arguments)
        if name in OF_VALUES or (name == "astype" and np.dtype(rest[0]).kind != "f"):
            return plain(*(value_of(x) for x in arguments), **options)
        if name in DERIVATIVES and isinstance(first, Dual):
            y = plain(first.value)
            return Dual(xp, y, first.tangent * DERIVATIVES[name](xp, first.value, y))
        if name in LINEAR and several:
            zeros = [x.tangent if isinstance(x, Dual) else xp.zeros_like(x) for x in first]  # pyright: ignore
            return Dual(xp, plain([value_of(x) for x in first], *rest, **options), plain(zeros, *rest, **options))  # pyright: ignore
        if name in LINEAR and isinstance(first, Dual):
            return Dual(xp, plain(first.value, *rest, **options), plain(first.tangent, *rest, **options))
        raise NoTangent(f"array function {name!r} has no rule for derivatives")
