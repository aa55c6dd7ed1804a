"""The element-wise operators of traced functions: in array code, in a loop for Numba, and in CUDA.

Texts have the operands as ``{0}``, ``{1}`` …. In loops, `y` is an array of the dtype that is computed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ..dual import value_of


@dataclass(frozen=True)
class Operator:
    """An element-wise operator.

    Parameters
    ----------
    array : ``array(xp, *operands)``.
    loop : the text of an element in Python.
    cuda : the text of an element in C++; by default that of `loop`.
    kind : of the result.
    costly : whether it takes as long as tens of additions, so that it is worth keeping its result.
    """

    array: Callable[..., Any]
    loop: str
    cuda: str = ""
    kind: Literal["real", "bool"] = "real"
    costly: bool = False

    @property
    def c(self) -> str:
        """The text in C++."""
        return self.cuda or self.loop


def _sigmoid(xp: Any, x: Any) -> Any:
    negative = x < 0
    e = xp.exp(xp.where(negative, x, -x))  # e^-|x|, which cannot overflow; |x| itself has no derivative at 0
    return xp.where(negative, e / (1 + e), 1 / (1 + e))


def _both(compare: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda xp, a, b: compare(a, b)


def _extreme(better: str) -> tuple[str, str]:
    """The texts of the maximum or minimum; NaN in either operand is kept, as by NumPy."""
    return (
        f"({{0}} if {{0}} {better} {{1}} or {{0}} != {{0}} else {{1}})",
        f"({{0}} {better} {{1}} || {{0}} != {{0}} ? {{0}} : {{1}})",
    )


OPERATORS: dict[str, Operator] = {
    "negative": Operator(lambda xp, a: -a, "-{0}"),
    "add": Operator(lambda xp, a, b: a + b, "{0} + {1}"),
    "subtract": Operator(lambda xp, a, b: a - b, "{0} - {1}"),
    "multiply": Operator(lambda xp, a, b: a * b, "{0} * {1}"),
    "divide": Operator(lambda xp, a, b: a / b, "{0} / {1}"),
    "pow": Operator(lambda xp, a, b: a**b, "{0} ** {1}", "pow({0}, {1})", costly=True),
    "exp": Operator(lambda xp, a: xp.exp(a), "exp({0}, y)", "exp({0})", costly=True),
    "expm1": Operator(lambda xp, a: xp.expm1(a), "expm1({0}, y)", "expm1({0})", costly=True),
    "log": Operator(lambda xp, a: xp.log(a), "log({0}, y)", "log({0})", costly=True),
    "log1p": Operator(lambda xp, a: xp.log1p(a), "log1p({0}, y)", "log1p({0})", costly=True),
    "tanh": Operator(lambda xp, a: xp.tanh(a), "tanh({0}, y)", "tanh({0})", costly=True),
    "sigmoid": Operator(_sigmoid, "sigmoid({0}, y)", "(REAL)1 / ((REAL)1 + exp(-({0})))", costly=True),
    "sin": Operator(lambda xp, a: xp.sin(a), "math.sin({0})", "sin({0})", costly=True),
    "cos": Operator(lambda xp, a: xp.cos(a), "math.cos({0})", "cos({0})", costly=True),
    "sqrt": Operator(lambda xp, a: xp.sqrt(a), "math.sqrt({0})", "sqrt({0})"),
    "abs": Operator(lambda xp, a: xp.abs(a), "abs({0})", "fabs({0})"),
    "sign": Operator(lambda xp, a: xp.sign(a), "sign({0}, y)", "(REAL)(({0} > (REAL)0) - ({0} < (REAL)0))"),
    "maximum": Operator(lambda xp, a, b: xp.maximum(a, b), *_extreme(">")),
    "minimum": Operator(lambda xp, a, b: xp.minimum(a, b), *_extreme("<")),
    "where": Operator(lambda xp, c, a, b: xp.where(c, a, b), "({1} if {0} else {2})", "({0} ? {1} : {2})"),
    "less": Operator(_both(lambda a, b: a < b), "{0} < {1}", kind="bool"),
    "less_equal": Operator(_both(lambda a, b: a <= b), "{0} <= {1}", kind="bool"),
    "greater": Operator(_both(lambda a, b: a > b), "{0} > {1}", kind="bool"),
    "greater_equal": Operator(_both(lambda a, b: a >= b), "{0} >= {1}", kind="bool"),
    "equal": Operator(_both(lambda a, b: a == b), "{0} == {1}", kind="bool"),
    "not_equal": Operator(_both(lambda a, b: a != b), "{0} != {1}", kind="bool"),
    "logical_and": Operator(_both(lambda a, b: a & b), "{0} & {1}", "{0} && {1}", kind="bool"),
    "logical_or": Operator(_both(lambda a, b: a | b), "{0} | {1}", "{0} || {1}", kind="bool"),
    "logical_not": Operator(lambda xp, a: ~a, "not {0}", "!{0}", kind="bool"),
    "number": Operator(lambda xp, a: xp.where(a, 1.0, 0.0), "(one if {0} else zero)", "({0} ? (REAL)1 : (REAL)0)"),
    "stop_gradient": Operator(lambda xp, a: value_of(a), "{0}"),
}
