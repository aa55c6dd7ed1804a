"""Which array functions have which derivatives, for dual numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

DERIVATIVES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "abs": lambda xp, x, y: xp.sign(x),
    "absolute": lambda xp, x, y: xp.sign(x),
    "exp": lambda xp, x, y: y,
    "expm1": lambda xp, x, y: y + 1,
    "log": lambda xp, x, y: 1 / x,
    "log1p": lambda xp, x, y: 1 / (1 + x),
    "log2": lambda xp, x, y: 1 / (x * math.log(2)),
    "sin": lambda xp, x, y: xp.cos(x),
    "cos": lambda xp, x, y: -xp.sin(x),
    "sinh": lambda xp, x, y: xp.cosh(x),
    "cosh": lambda xp, x, y: xp.sinh(x),
    "tanh": lambda xp, x, y: 1 - y * y,
    "arctan": lambda xp, x, y: 1 / (1 + x * x),
    "sqrt": lambda xp, x, y: 0.5 / y,
    "square": lambda xp, x, y: 2 * x,
    "reciprocal": lambda xp, x, y: -y * y,
}
"""Derivatives of element-wise functions: f'(x), given x and y = f(x)."""

LINEAR = frozenset(
    """
    reshape transpose permute_dims matrix_transpose swapaxes moveaxis expand_dims squeeze ravel broadcast_to sum
    mean cumsum concatenate concat stack take take_along_axis repeat tile flip roll tril triu diagonal trace
    copy ascontiguousarray asarray astype zeros_like empty_like negative positive
    """.split()  # noqa: SIM905
)
"""Linear functions, which apply to the tangent as to the value."""

OF_VALUES = frozenset(
    """
    argmax argmin argsort sign floor ceil round isfinite isnan isinf any all count_nonzero ones_like full_like
    greater greater_equal less less_equal equal not_equal shape ndim size heaviside
    """.split()  # noqa: SIM905
)
"""Functions whose result has derivative 0."""

OPERATORS = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "truediv",
    "true_divide": "truediv",
    "power": "pow",
    "pow": "pow",
    "matmul": "matmul",
}
