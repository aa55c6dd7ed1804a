"""Reverse-mode differentiation of expressions.

At a kink the derivative is that of PyTorch, as in `kernels.dual`: ``where`` uses the branch taken, ``abs`` has 0,
``maximum`` and ``minimum`` of equal numbers halve it, and the maximum along an axis passes it to its first place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from . import structure
from .expression import Expression, apply, broadcast, column, constant, ordered

ZERO = constant(0.0)
Rule = Callable[[Expression, Expression], tuple[Expression | None, ...]]


def gradients(ends: dict[Expression, Expression], wanted: Iterable[Expression]) -> list[Expression | None]:
    """The gradients of `wanted`, given those of `ends`; None where it is 0 everywhere."""
    wanted = list(wanted)
    nodes = ordered(ends)
    depends = _dependent(nodes, set(wanted))
    known: dict[Expression, Expression] = {}
    for end, gradient in ends.items():
        known[end] = known[end] + gradient if end in known else gradient
    for node in reversed(nodes):
        if node not in known or not node.inputs or node in wanted:
            continue
        gradient = broadcast(known[node], node.shape)
        for one, part in zip(node.inputs, RULES[node.operator](node, gradient), strict=True):
            if part is not None and one in depends:
                part = structure.sum_to(broadcast(part, node.shape) if _elementwise(node) else part, one.shape)
                known[one] = known[one] + part if one in known else part
    return [broadcast(known[one], one.shape) if one in known else None for one in wanted]


def _dependent(nodes: list[Expression], wanted: set[Expression]) -> set[Expression]:
    """Those of the nodes that depend on `wanted`, and `wanted`."""
    found = set(wanted)
    for node in nodes:
        if any(one in found for one in node.inputs):
            found.add(node)
    return found


def _elementwise(node: Expression) -> bool:
    return node.operator in ELEMENTWISE


def _pow(node: Expression, g: Expression) -> tuple[Expression | None, ...]:
    a, b = node.inputs
    slope = g * b * apply("pow", a, b - 1.0)
    if b.operator == "constant":
        return slope, None
    nothing = apply("equal", a, 0.0)  # log a would be infinite, but 0 to a positive power is 0
    growth = apply("where", nothing, 0.0, node * apply("log", apply("where", nothing, 1.0, a)))
    return slope, g * growth


def _extreme(better: str) -> Rule:
    def rule(node: Expression, g: Expression) -> tuple[Expression, ...]:
        a, b = node.inputs
        half = apply("where", apply("equal", a, b), g * 0.5, ZERO)
        wins, loses = apply(better, a, b), apply(better, b, a)
        return apply("where", wins, g, half), apply("where", loses, g, half)

    return rule


def _maximum_along(node: Expression, g: Expression) -> tuple[Expression, ...]:
    (a,) = node.inputs
    first = apply("equal", column(a.shape[-1]), structure.argmax(a))
    return (apply("where", first, broadcast(g, a.shape), ZERO),)


ELEMENTWISE: dict[str, Rule] = {
    "negative": lambda node, g: (-g,),
    "add": lambda node, g: (g, g),
    "subtract": lambda node, g: (g, -g),
    "multiply": lambda node, g: (g * node.inputs[1], g * node.inputs[0]),
    "divide": lambda node, g: (g / node.inputs[1], -(g * node) / node.inputs[1]),
    "pow": _pow,
    "exp": lambda node, g: (g * node,),
    "expm1": lambda node, g: (g * (node + 1.0),),
    "log": lambda node, g: (g / node.inputs[0],),
    "log1p": lambda node, g: (g / (node.inputs[0] + 1.0),),
    "tanh": lambda node, g: (g * (1.0 - node * node),),
    "sigmoid": lambda node, g: (g * (node * (1.0 - node)),),
    "sin": lambda node, g: (g * apply("cos", node.inputs[0]),),
    "cos": lambda node, g: (-g * apply("sin", node.inputs[0]),),
    "sqrt": lambda node, g: (g * (0.5 / node),),
    "abs": lambda node, g: (g * apply("sign", node.inputs[0]),),
    "maximum": _extreme("greater"),
    "minimum": _extreme("less"),
    "where": lambda node, g: (None, apply("where", node.inputs[0], g, ZERO), apply("where", node.inputs[0], ZERO, g)),
    **dict.fromkeys(("sign", "number", "stop_gradient"), lambda node, g: (None,)),
    **dict.fromkeys(
        ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_and", "logical_or"),
        lambda node, g: (None, None),
    ),
    "logical_not": lambda node, g: (None,),
}

OTHERS: dict[str, Rule] = {
    "broadcast": lambda node, g: (structure.sum_to(g, node.inputs[0].shape),),
    "expand": lambda node, g: (structure.sum_to(g, node.inputs[0].shape),),
    "sum": lambda node, g: (broadcast(g, node.inputs[0].shape),),
    "max": _maximum_along,
    "argmax": lambda node, g: (None,),
    "sum_rows": lambda node, g: (broadcast(g, node.inputs[0].shape),),
    "reshape": lambda node, g: (structure.reshape(g, node.inputs[0].shape),),
    "transpose": lambda node, g: (structure.transpose(g, structure.inverse(node.options[0])),),
    "matmul": structure.matmul_gradients,
    "concatenate": lambda node, g: structure.split(g, node),
    "take": lambda node, g: (structure.place(g, node.options[0], node.inputs[0].shape),),
    "place": lambda node, g: (structure.take(g, node.options[0].raw),),
}

RULES: dict[str, Rule] = {**ELEMENTWISE, **OTHERS}
