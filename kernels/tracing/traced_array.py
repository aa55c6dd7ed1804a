"""`TracedArray`: what a traced function is called with in place of an array."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, NoReturn

from .expression import Expression, Shape, apply
from .refusal import refuse

METHODS: dict[str, Callable[..., Any]] = {}
"""Array functions by name, which are methods too; `functions` enters them."""


class TracedArray:
    """An array of a traced function: it has a shape, operators and methods, but no values yet.

    The first dimension of arrays of the batch is ``rows``, a size that is not known.
    """

    __hash__ = object.__hash__  # equality makes an array

    def __init__(self, expression: Expression) -> None:
        self._expression = expression

    @property
    def shape(self) -> Shape:
        """The shape, with ``rows`` for the rows of the batch."""
        return self._expression.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def mT(self) -> TracedArray:
        """The array with its last two axes swapped."""
        return METHODS["matrix_transpose"](self)

    def __repr__(self) -> str:
        return f"TracedArray{self.shape}"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in METHODS:
            if name in ("T", "item", "tolist", "numpy", "astype", "dtype", "device"):
                refuse(f"{name!r} of an array in a traced function; its values are not known yet")
            raise AttributeError(f"arrays of traced functions have no {name!r}; they have {', '.join(sorted(METHODS))}")
        function = METHODS[name]
        return lambda *arguments, **options: function(self, *arguments, **options)

    def __getitem__(self, key: Any) -> TracedArray:
        return METHODS["getitem"](self, key)

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        refuse("an assignment to elements of an array; write x = gs.xp.where(condition, new, x), or gs.xp.concat")

    def __bool__(self) -> NoReturn:
        refuse("a Python condition (if, and, or, not, while) on an array; write gs.xp.where(condition, a, b)")

    def _no_values(self, *_: Any) -> NoReturn:
        refuse(
            "the values of an array are asked for, but a traced function has none yet; use functions of gs.xp instead "
            "of those of math, and no loops over arrays"
        )

    __float__ = __int__ = __index__ = __iter__ = __len__ = __array__ = __contains__ = _no_values

    def __add__(self, other: Any) -> TracedArray:
        return self._with("add", other)

    def __radd__(self, other: Any) -> TracedArray:
        return self._with("add", other, turned=True)

    def __sub__(self, other: Any) -> TracedArray:
        return self._with("subtract", other)

    def __rsub__(self, other: Any) -> TracedArray:
        return self._with("subtract", other, turned=True)

    def __mul__(self, other: Any) -> TracedArray:
        return self._with("multiply", other)

    def __rmul__(self, other: Any) -> TracedArray:
        return self._with("multiply", other, turned=True)

    def __truediv__(self, other: Any) -> TracedArray:
        return self._with("divide", other)

    def __rtruediv__(self, other: Any) -> TracedArray:
        return self._with("divide", other, turned=True)

    def __and__(self, other: Any) -> TracedArray:
        return self._with("logical_and", other)

    def __rand__(self, other: Any) -> TracedArray:
        return self._with("logical_and", other, turned=True)

    def __or__(self, other: Any) -> TracedArray:
        return self._with("logical_or", other)

    def __ror__(self, other: Any) -> TracedArray:
        return self._with("logical_or", other, turned=True)

    def __lt__(self, other: Any) -> TracedArray:
        return self._with("less", other)

    def __le__(self, other: Any) -> TracedArray:
        return self._with("less_equal", other)

    def __gt__(self, other: Any) -> TracedArray:
        return self._with("greater", other)

    def __ge__(self, other: Any) -> TracedArray:
        return self._with("greater_equal", other)

    def __eq__(self, other: Any) -> TracedArray:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._with("equal", other)

    def __ne__(self, other: Any) -> TracedArray:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._with("not_equal", other)

    def __pow__(self, other: Any) -> TracedArray:
        return METHODS["pow"](self, other)

    def __rpow__(self, other: Any) -> TracedArray:
        return METHODS["pow"](other, self)

    def __matmul__(self, other: Any) -> TracedArray:
        return METHODS["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> TracedArray:
        return METHODS["matmul"](other, self)

    def __neg__(self) -> TracedArray:
        return METHODS["negative"](self)

    def __abs__(self) -> TracedArray:
        return METHODS["abs"](self)

    def __invert__(self) -> TracedArray:
        return METHODS["logical_not"](self)

    def _with(self, operator: str, other: Any, turned: bool = False) -> TracedArray:
        """An element-wise operator of this array and another operand."""
        operands = self._expression, expression_of(other)
        return TracedArray(apply(operator, *(operands[::-1] if turned else operands)))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> TracedArray:
        name = NUMPY.get(ufunc.__name__, ufunc.__name__)
        if method != "__call__" or options or name not in METHODS:
            refuse(f"numpy.{ufunc.__name__} in a traced function; {known()}")
        return METHODS[name](*inputs)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> TracedArray:
        name = NUMPY.get(function.__name__, function.__name__)
        if name not in METHODS:
            refuse(f"numpy.{function.__name__} in a traced function; {known()}")
        return METHODS[name](*arguments, **options)


NUMPY = {
    "absolute": "abs",
    "true_divide": "divide",
    "power": "pow",
    "amax": "max",
    "amin": "min",
    "transpose": "permute_dims",
    "concatenate": "concat",
}
"""NumPy's names of functions that the array standard names otherwise."""


def has_traced(values: Iterable[Any]) -> bool:
    """Whether one of the values is traced."""
    return any(isinstance(value, TracedArray) for value in values)


def names() -> list[str]:
    """The names of the array functions of ``gs.xp``."""
    return sorted({*METHODS, "arange"} - {"getitem"})


def known() -> str:
    """The functions that can be traced."""
    return f"expected one of gs.xp: {', '.join(names())}; others in a gs.ArrayLayer with forward and backward"


_tracing: ContextVar[bool] = ContextVar("tracing", default=False)


def tracing() -> bool:
    """Whether a formula is being traced, rather than computed on numbers."""
    return _tracing.get()


def traced(formula: Callable[..., Any], *arrays: Any, **settings: Any) -> Any:
    """What a formula returns for expressions."""
    token = _tracing.set(True)
    try:
        return formula(*map(TracedArray, arrays), **{name: TracedArray(one) for name, one in settings.items()})
    finally:
        _tracing.reset(token)


def expression_of(value: Any) -> Any:
    """The expression of a symbol; other values as they are."""
    return value._expression if isinstance(value, TracedArray) else value
