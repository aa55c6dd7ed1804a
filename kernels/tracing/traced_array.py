"""`TracedArray`: what a traced function is called with in place of an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from .expression import Expression, Shape, apply
from .refusal import refuse

METHODS: dict[str, Callable[..., Any]] = {}
"""Array functions by name, which are methods too; `functions` enters them."""


class TracedArray:
    """An array of a traced function: it has a shape, operators and methods, but no values yet.

    The first dimension of arrays of the batch is ``rows``, a size that is not known.
    """

    __hash__ = object.__hash__

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
        refuse("a number, a loop or a NumPy array of an array of a traced function; its values are not known yet")

    __float__ = __int__ = __index__ = __iter__ = __len__ = __array__ = __contains__ = _no_values

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


def known() -> str:
    """The functions that can be traced."""
    return f"expected one of gs.xp: {', '.join(sorted(METHODS.keys() - {'getitem'}))}"


def expression_of(value: Any) -> Any:
    """The expression of a symbol; other values as they are."""
    return value._expression if isinstance(value, TracedArray) else value


def _give_operators() -> None:
    def give(name: str, operator: str) -> None:
        def there(self: TracedArray, other: Any) -> TracedArray:
            return TracedArray(apply(operator, expression_of(self), expression_of(other)))

        def back(self: TracedArray, other: Any) -> TracedArray:
            return TracedArray(apply(operator, expression_of(other), expression_of(self)))

        setattr(TracedArray, f"__{name}__", there)
        setattr(TracedArray, f"__r{name}__", back)

    names = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "and": "logical_and"}
    for name, operator in {**names, "or": "logical_or"}.items():
        give(name, operator)
    compared = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
    for name, operator in {**compared, "eq": "equal", "ne": "not_equal"}.items():
        give(name, operator)
    named = {"neg": "negative", "abs": "abs", "invert": "logical_not", "pow": "pow", "matmul": "matmul"}
    for name, method in named.items():
        setattr(TracedArray, f"__{name}__", lambda self, *other, method=method: METHODS[method](self, *other))
    for name in ("pow", "matmul"):
        setattr(TracedArray, f"__r{name}__", lambda self, other, method=name: METHODS[method](other, self))


_give_operators()
