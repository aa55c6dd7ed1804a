"""Expressions: the arrays of a traced function as nodes of a graph, with operator, inputs, shape and kind.

Equal expressions are one object, so a common subexpression is computed once. Constants are folded.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from typing import Any, Literal
from weakref import WeakValueDictionary

from .operators import OPERATORS
from .refusal import refuse, refuse_shape

Kind = Literal["real", "int", "bool"]

NO_ROWS = "the number of rows of a batch is not known while a function is traced; write a formula for any number"


class RowCount:
    """The number of rows of a batch, which a traced function must not depend on."""

    def __repr__(self) -> str:
        return "rows"

    def _refuse(self, *_: Any) -> Any:
        refuse(NO_ROWS)

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __floordiv__ = __rfloordiv__ = __mod__ = __neg__ = __int__ = __float__ = __index__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse


ROWS = RowCount()
LEAVES = ("constant", "column", "width", "rows")
"""Leaves that a kernel has no array for."""
Shape = tuple[Any, ...]
"""A shape: integers, and `ROWS` as the first dimension of arrays of the batch."""

_known: WeakValueDictionary[Any, Expression] = WeakValueDictionary()


class Expression:
    """A node: `operator` of `inputs`, with options such as an axis. Leaves have no inputs.

    The leaves are ``"input"`` (an array), ``"constant"`` (a number), ``"column"`` (the index along the last axis),
    ``"width"`` (the size of the last axis) and ``"rows"`` (the number of rows of the batch).
    """

    __slots__ = ("__weakref__", "inputs", "kind", "operator", "options", "shape")

    def __init__(self, operator: str, inputs: tuple[Expression, ...], shape: Shape, kind: Kind, options: Any) -> None:
        self.operator, self.inputs, self.shape = operator, inputs, shape
        self.kind: Kind = kind
        self.options: tuple[Any, ...] = options

    def __repr__(self) -> str:
        return f"{self.operator}{self.shape}"

    @property
    def value(self) -> float:
        """The number of a constant."""
        return self.options[0]

    @property
    def batch(self) -> bool:
        """Whether there is a value for each row of the batch."""
        return self.shape[:1] == (ROWS,)

    def __neg__(self) -> Expression:
        return apply("negative", self)

    def __add__(self, other: Any) -> Expression:
        return apply("add", self, other)

    def __sub__(self, other: Any) -> Expression:
        return apply("subtract", self, other)

    def __rsub__(self, other: Any) -> Expression:
        return apply("subtract", other, self)

    def __mul__(self, other: Any) -> Expression:
        return apply("multiply", self, other)

    def __truediv__(self, other: Any) -> Expression:
        return apply("divide", self, other)

    __radd__, __rmul__ = __add__, __mul__

    def __rtruediv__(self, other: Any) -> Expression:
        return apply("divide", other, self)


def make(operator: str, inputs: tuple[Expression, ...], shape: Shape, kind: Kind = "real", *options: Any) -> Expression:
    """The expression with these parts."""
    key = operator, inputs, shape, kind, tuple((type(option), option) for option in options)
    found = _known.get(key)
    if found is None:
        found = _known[key] = Expression(operator, inputs, shape, kind, options)
    return found


def constant(value: Any) -> Expression:
    """A number."""
    return make("constant", (), (), "bool" if isinstance(value, bool) else "real", value)


def array(name: str, shape: Shape, kind: Kind = "real") -> Expression:
    """An array that a function is given."""
    return make("input", (), shape, kind, name)


def column(size: int) -> Expression:
    """0, 1, … size − 1."""
    return make("column", (), (size,), "int", size)


def row_count() -> Expression:
    """The number of rows of the batch, as a number in a kernel."""
    return make("rows", (), (), "real")


def as_expression(value: Any) -> Expression:
    """A value of a formula as an expression."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, RowCount):
        refuse(NO_ROWS)
    if isinstance(value, bool | int | float) or (hasattr(value, "dtype") and value.shape == ()):
        return constant(value if isinstance(value, bool) else float(value))
    if hasattr(value, "shape"):
        refuse(
            f"an array of shape {tuple(value.shape)} in a traced function; expected a number, or a gs.Parameter of the "
            "layer (trained=False for constants)"
        )
    refuse(f"{value!r} in a traced function; expected an array of the function or a number")


def apply(operator: str, *values: Any) -> Expression:
    """An element-wise operator, with NumPy's broadcasting."""
    inputs = tuple(as_expression(value) for value in values)
    inputs = tuple(_of_kind(one, _takes_condition(operator, place)) for place, one in enumerate(inputs))
    simple = simplified(operator, inputs)
    if simple is not None:
        return simple
    shape = broadcast_shapes(operator, [one.shape for one in inputs])
    inputs = tuple(_fitting(one, shape) for one in inputs)
    kind: Kind = OPERATORS[operator].kind
    return make(operator, inputs, shape, kind)


def _takes_condition(operator: str, place: int) -> bool:
    return operator.startswith("logical_") or (operator == "where" and place == 0)


def _of_kind(one: Expression, condition: bool) -> Expression:
    """A number where one is expected, 0 or 1 for a condition; a condition where one is expected, as NumPy does."""
    if condition:
        return one if one.kind == "bool" else apply("not_equal", one, 0.0)
    return as_number(one)


def as_number(one: Expression) -> Expression:
    """1 where a condition holds, else 0; numbers as they are."""
    if one.kind != "bool":
        return one
    return constant(float(one.value)) if one.operator == "constant" else make("number", (one,), one.shape)


def simplified(operator: str, inputs: tuple[Expression, ...]) -> Expression | None:
    """The result where it is an input or a constant; otherwise None."""
    constants = [one.value if one.operator == "constant" else None for one in inputs]
    if None not in constants:
        try:
            return constant(_plain(OPERATORS[operator].array(_Plain, *constants)))
        except (ArithmeticError, ValueError, AttributeError, TypeError):
            return None  # it is computed, or refused, where it runs
    if len(inputs) != 2:
        return None
    (a, b), (left, right) = inputs, constants
    if (operator in ("multiply", "divide") and right == 1) or (operator in ("add", "subtract") and right == 0):
        return a
    if (operator == "multiply" and left == 1) or (operator == "add" and left == 0):
        return b
    if operator == "multiply" and left == -1:
        return -b
    return None


class _Plain:
    """The array functions of constants that `OPERATORS` needs; all others are computed where they run."""

    sqrt, exp, log, abs = math.sqrt, math.exp, math.log, abs


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool) else float(value)


def broadcast_shapes(operator: str, shapes: list[Shape]) -> Shape:
    """The common shape, by NumPy's rules.

    Raises
    ------
    ShapeError
        There is none.
    """
    result: list[Any] = []
    for place in range(1, max(map(len, shapes)) + 1):
        sizes = {shape[-place] for shape in shapes if len(shape) >= place and shape[-place] != 1}
        if len(sizes) > 1:
            _refuse_shapes(operator, shapes)
        result.insert(0, sizes.pop() if sizes else 1)
    if ROWS in result[1:]:
        _refuse_shapes(operator, shapes)
    return tuple(result)


def _refuse_shapes(operator: str, shapes: list[Shape]) -> None:
    hint = ""
    if (ROWS,) in shapes:
        hint = "; one value a row needs the shape (rows, 1): keepdims=True, or x[:, None]"
    refuse_shape(f"{operator} of arrays of shapes {' and '.join(map(str, shapes))}, which do not broadcast{hint}")


def _fitting(one: Expression, shape: Shape) -> Expression:
    """The input itself if it is a number, a row, a column or all of the result; otherwise repeated to its shape."""
    own = one.shape
    while own[:1] == (1,):
        own = own[1:]
    fits = own in ((), shape, shape[-1:]) or (one.shape == (*shape[:-1], 1))
    return one if fits else make("expand", (one,), shape, one.kind)


def broadcast(one: Expression, shape: Shape) -> Expression:
    """`one`, repeated to `shape`."""
    if one.shape == shape:
        return one
    fitting = _fitting(one, shape)
    return fitting if fitting.shape == shape else make("broadcast", (fitting,), shape, one.kind)


def ordered(ends: Iterable[Expression], known: Container[Expression] = ()) -> list[Expression]:
    """The expressions that `ends` depend on, and themselves: inputs first, each once; `known` ones as leaves."""
    found: dict[Expression, None] = {}
    waiting = [(end, False) for end in reversed(list(ends))]
    while waiting:
        one, ready = waiting.pop()
        if ready:
            found[one] = None
        elif one not in found:
            waiting.append((one, True))
            waiting += [(part, False) for part in reversed(() if one in known else one.inputs) if part not in found]
    return list(found)


def replaced(ends: Iterable[Expression], by: dict[Expression, Expression]) -> list[Expression]:
    """`ends` with some expressions replaced."""
    ends, new = list(ends), dict(by)
    for one in ordered(ends):
        if one not in new:
            inputs = tuple(new[part] for part in one.inputs)
            new[one] = one if inputs == one.inputs else make(one.operator, inputs, one.shape, one.kind, *one.options)
    return [new[end] for end in ends]
