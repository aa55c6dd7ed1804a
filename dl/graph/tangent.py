"""Forward-mode differentiation of a graph: the tangent of every value, given tangents of some values.

Applied to a graph with its backward operations, this gives Hessian-vector products (Pearlmutter 1994):
the gradient's change along v is H v.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ...kernels.dual import Dual, DualNamespace, NoTangent
from ...kernels.operation import Operation
from .graph import Graph, Node, Value

PHASE = "tangent"


def push_forward(graph: Graph, tangents: Mapping[Value, Value]) -> dict[Value, Value]:
    """Appends the tangents (phase ``"tangent"``) of all values that depend on those in `tangents`; returns them all.

    An operation's own rule is used if it has one; otherwise its reference runs on dual numbers.
    """
    known = dict(tangents)
    graph.phase = PHASE
    for node in graph.nodes.copy():
        if node.outputs and any(value in known for value in node.inputs):
            rule = node.operation.tangent or from_definition
            found = rule(graph, node, *(known.get(value) for value in node.inputs))
            known |= {v: t for v, t in zip(node.outputs, found, strict=True) if t is not None}
    return known


def hessian_products(graph: Graph) -> dict[str, Value]:
    """Appends Hessian-vector products to a graph with its backward operations; returns them by parameter name.

    The vector is read from the run's arrays ``"tangent of NAME"``.
    """
    trained = {name: value for name, value in graph.parameters.items() if value in graph.gradients}
    tangents = {value: graph.shared(f"tangent of {name}", value.shape) for name, value in trained.items()}
    known = push_forward(graph, tangents)
    changes = {
        name: known[graph.gradients[value]] for name, value in trained.items() if graph.gradients[value] in known
    }
    graph.outputs.update(changes.values())
    return changes


def from_definition(graph: Graph, node: Node, *tangents: Value | None) -> tuple[Value | None, ...]:
    """Appends the tangent of any operation: its reference on dual numbers."""
    count = len(node.inputs)
    given = tuple(tangent for tangent in tangents if tangent is not None)
    carried = [
        value.dtype.startswith("float") and count + i not in node.operation.scratch
        for i, value in enumerate(node.outputs)
    ]
    found = tuple(graph.like(output) if kept else None for output, kept in zip(node.outputs, carried, strict=True))
    others = tuple(output for output, kept in zip(node.outputs, carried, strict=True) if not kept)
    changed = [tangent is not None for tangent in tangents]
    operation = Operation(f"{node.operation.name}_tangent", partial(_reference, node, changed, carried))
    graph.apply(operation, (*node.inputs, *given, *others), tuple(t for t in found if t is not None), **node.attributes)
    return found


def _reference(node: Node, changed: list[bool], carried: list[bool], xp: Any, *arrays: Any, **attributes: Any) -> None:
    left = iter(arrays)
    inputs = [next(left) for _ in changed]
    inputs = [Dual(xp, array, next(left)) if moves else array for array, moves in zip(inputs, changed, strict=True)]
    rest = iter([_own(xp, next(left)) for kept in carried if not kept])
    results = iter([Dual(xp, xp.empty_like(array), array) for array in left])
    try:
        node.operation.reference(
            DualNamespace(xp), *inputs, *(next(results) if kept else next(rest) for kept in carried), **attributes
        )
    except NoTangent as error:
        raise NoTangent(f"layer {node.layer or '0'}: operation {node.operation.name}: {error}") from None


def _own(xp: Any, array: Any) -> Any:
    """A new scratch array like `array`, which is not changed."""
    return Dual(xp, xp.zeros_like(array), xp.zeros_like(array)) if array.dtype.kind == "f" else xp.zeros_like(array)
