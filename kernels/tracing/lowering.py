"""Appends traced functions to a graph: one operation per group of expressions, with its gradient."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from ..arrays.sum_rows import sum_rows
from ..launch import over_elements, over_rows
from ..operation import Cuda, Launch, Operation
from .cuda_text import CudaText
from .derivatives import gradients
from .evaluate import evaluate, sizes
from .expression import Expression, array, as_number, make, ordered, replaced
from .generated import function
from .group import REDUCTIONS, Group, Role, inline, partition
from .library import operation_for
from .loop_text import LoopText
from .operators import OPERATORS


def lower(
    graph: Any,
    name: str,
    ends: Sequence[Expression],
    values: dict[Expression, Any],
    into: Mapping[Expression, Any] | None = None,
) -> list[Any]:
    """Appends the operations that compute `ends`; returns their values.

    Parameters
    ----------
    name : of the operations, in messages.
    values : the graph's values of the inputs that `ends` depend on; those of the results are added.
    into : the values that some ends are written to.
    """
    given = into or {}
    ends = [_computed(end, given) for end in ends]
    into = {_computed(end, given): value for end, value in given.items()}
    for group in partition(ends, values):
        inputs = tuple(values[one] for one in group.inputs)
        outputs = tuple(into[one] if one in into else _value(graph, one, inputs) for one in group.outputs)
        values.update(zip(group.outputs, outputs, strict=True))
        _append(graph, name, group, inputs, outputs)
    return [values[end] for end in ends]


def _computed(end: Expression, into: Mapping[Expression, Any]) -> Expression:
    """The end, as a copy where it is an input that is to be written elsewhere; conditions as numbers."""
    end = as_number(end)
    return make("broadcast", (end,), end.shape, end.kind) if end.operator == "input" and end in into else end


def _value(graph: Any, one: Expression, inputs: Sequence[Any]) -> Any:
    """A new value of the graph for an expression."""
    dtype = "int64" if one.kind == "int" else None
    if not one.batch:
        return graph.fixed(one.shape, dtype or graph.dtype)
    like = next((value for value in inputs if value.kind == "batch"), None)
    if like is None:
        return graph.batch(one.shape[1:], dtype)
    return graph.batch(one.shape[1:], dtype, rows_per_example=like.rows_per_example, mask=like.mask)


def _append(graph: Any, name: str, group: Group, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
    (node,) = group.nodes if not group.fused else (None,)
    if node is not None and node.operator == "sum_rows":
        sum_rows(graph, inputs[0], outputs[0])
        return
    found = None if node is None else operation_for(node)
    if node is not None and found is not None and len(inputs) == len(node.inputs):
        graph.apply(found[0], inputs, outputs, **found[1])
        return
    graph.apply(operation_of(name, group), inputs, outputs)


def operation_of(name: str, group: Group) -> Operation:
    """The operation that computes a group from its inputs."""
    given = {one: str(one.options[0]) if one.operator == "input" else "" for one in group.inputs}
    names = [own if own and list(given.values()).count(own) == 1 else f"in_{k}" for k, own in enumerate(given.values())]
    leaves = tuple(array(own, one.shape, one.kind) for own, one in zip(names, group.inputs, strict=True))
    ends = tuple(replaced(group.outputs, dict(zip(group.inputs, leaves, strict=True))))
    return _operation(name, leaves, ends, group.outer, group.width, group.fused)


@cache
def _operation(
    name: str, leaves: tuple[Expression, ...], ends: tuple[Expression, ...], outer: Any, width: int | None, fused: bool
) -> Operation:
    every = ordered(ends)
    nodes = [one for one in every if one not in leaves and not (inline(one) and one not in ends)]
    group = Group(outer, width, fused, nodes, list(leaves), list(ends))
    count = len(leaves)

    def reference(xp: Any, *arrays: Any) -> None:
        every = zip(arrays, (*leaves, *ends), strict=True)
        rows = next((a.size // max(math.prod(one.shape[1:]), 1) for a, one in every if one.batch), 0)
        known = {one: _shaped(xp, a, one, rows) for one, a in zip(leaves, arrays, strict=False)}
        for target, value in zip(arrays[count:], evaluate(xp, ends, known, rows), strict=True):
            target[...] = value

    def gradient(graph: Any, node: Any, *given: Any) -> tuple[Any, ...]:
        return _backward(graph, node, group, given)

    reference.__name__ = kernel = kernel_name(name)
    if not fused:
        return Operation(name, reference, gradient=gradient, formula=(leaves, ends))
    operators = [one for one in every if one.operator in OPERATORS or one.operator in REDUCTIONS]
    return Operation(
        name,
        reference,
        function(kernel, LoopText(kernel, group).source),
        lambda *arrays: _items(group, arrays)[0],
        cuda=_cuda(kernel, group),
        gradient=gradient,
        flops=lambda *arrays: len(operators) * _largest(arrays),
        formula=(leaves, ends),
    )


def _shaped(xp: Any, a: Any, one: Expression, rows: int) -> Any:
    """An array in the shape of its expression; a sequence's labels may be an array (examples, tokens)."""
    shape = sizes(one.shape, rows)
    return a if a.shape == shape else xp.reshape(a, shape)


def kernel_name(name: str) -> str:
    """The name of an operation's kernel: no word of Python or C++, and no function that kernels call."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", name) + "_kernel"


def _largest(arrays: Sequence[Any]) -> int:
    return max((array.size for array in arrays), default=0)


def _items(group: Group, arrays: Sequence[Any]) -> tuple[int, int]:
    """The items of a group's kernel, and the elements of each."""
    every = [*group.inputs, *group.outputs]
    roles = [group.role(one) for one in every]
    if group.flat:
        return arrays[roles.index(Role.FULL)].size, 1
    if Role.FULL in roles:
        full = arrays[roles.index(Role.FULL)]
        return full.size // max(full.shape[-1], 1), full.shape[-1]
    width = arrays[roles.index(Role.COLUMN)].size if Role.COLUMN in roles else group.width or 1
    rows = next((array.size for array, role in zip(arrays, roles, strict=True) if role is Role.ROW), 1)
    return rows, width


def _cuda(name: str, group: Group) -> Cuda:
    text = CudaText(name, group)
    places = [place for place, one in enumerate([*group.inputs, *group.outputs]) if one.batch]

    def launch(*arrays: Any) -> Launch:
        items, width = _items(group, arrays)
        rows = arrays[places[0]].shape[0] if places else 1
        if group.flat:
            return over_elements(items, *arrays, items, rows)
        return over_rows(items, *arrays, items, width, rows)

    return Cuda("", name, launch, types=text.types, text=text.source)


def _backward(graph: Any, node: Any, group: Group, given: Sequence[Any]) -> tuple[Any, ...]:
    """Appends the gradients of a group's inputs that depend on a parameter."""
    leaves = {one: array(f"gradient {k}", one.shape) for k, one in enumerate(group.outputs) if given[k] is not None}
    wanted = [one for one, value in zip(group.inputs, node.inputs, strict=True) if graph.needs_gradient(value)]
    found = dict(zip(wanted, gradients(leaves, wanted), strict=True))
    values = dict(zip(group.inputs, node.inputs, strict=True))
    values.update((leaf, given[group.outputs.index(one)]) for one, leaf in leaves.items())
    kept = _kept(group, [one for one in found.values() if one is not None])
    values.update((leaf, node.outputs[group.outputs.index(one)]) for one, leaf in kept.items())
    ends = {one: replaced([end], kept)[0] for one, end in found.items() if end is not None}
    into = {end: graph.like(values[one]) for one, end in ends.items() if end.operator != "input"}
    results = lower(graph, f"{node.operation.name}_backward", list(ends.values()), values, into=into)
    by_input = dict(zip(ends, results, strict=True))
    return tuple(by_input.get(one) for one in group.inputs)


def _kept(group: Group, ends: Sequence[Expression]) -> dict[Expression, Expression]:
    """The outputs that the backward pass reads instead of computing them again: those that take long to compute."""
    used = set(ordered(ends))
    return {
        one: array(f"output {k}", one.shape)
        for k, one in enumerate(group.outputs)
        if one in used and one.kind == "real" and _costly(one)
    }


def _costly(one: Expression) -> bool:
    return any(
        part.operator in REDUCTIONS or (part.operator in OPERATORS and OPERATORS[part.operator].costly)
        for part in ordered([one])
    )
