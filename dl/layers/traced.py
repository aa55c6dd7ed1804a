"""Layers whose `forward` is a formula of arrays: it is traced when the model is lowered, and becomes operations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from ...backends.errors import ConfigurationError, ShapeError
from ...kernels.tracing import xp as array_functions
from ...kernels.tracing.expression import ROWS, Expression, array, make, ordered
from ...kernels.tracing.lowering import lower
from ...kernels.tracing.traced_array import TracedArray, expression_of, traced
from ..graph.graph import Graph, Value
from .parameter import Parameter

_current: ContextVar[Trace] = ContextVar("trace")


class Trace:
    """A call of `forward` on traced arrays: the arrays that it was given, and their values in the graph."""

    def __init__(self, graph: Graph, name: str, children: dict[str, Any]) -> None:
        self.graph, self.name, self._children = graph, name, children
        self._values: dict[Expression, Value] = {}
        self._parameters: dict[Expression, Parameter] = {}

    def run(self, forward: Callable[..., Any], inputs: Sequence[Value]) -> Value:
        """The value of `forward(*inputs)`.

        Raises
        ------
        ConfigurationError
            It returns something else than an array made of its inputs.
        ShapeError
            The array it returns does not have rows of features.
        """
        names = _names(forward, len(inputs))
        symbols = [self.input(name, value) for name, value in zip(names, inputs, strict=True)]
        token = _current.set(self)
        try:
            result = traced(forward, *map(expression_of, symbols))
        finally:
            _current.reset(token)
        if not isinstance(result, TracedArray):
            raise ConfigurationError(
                f"{self.name}: forward returns {type(result).__name__}; expected one array, computed from its inputs"
            )
        if len(result.shape) < 2 or result.shape[0] is not ROWS:
            raise ShapeError(
                f"{self.name}: forward returns an array of shape {result.shape}; expected (rows, features), as "
                "keepdims=True or x[:, None] give"
            )
        end: Expression = expression_of(result)
        if not any(leaf in self._values for leaf in ordered([end])):
            raise ConfigurationError(f"{self.name}: forward returns an array that does not depend on its inputs")
        if end.operator == "input":
            result = TracedArray(make("broadcast", (end,), end.shape, end.kind))  # a layer's own value
        return self.value(result)

    def input(self, name: str, value: Value) -> TracedArray:
        """The traced array of a value of the batch."""
        leaf = array(name, (ROWS, *value.shape), "int" if value.dtype.startswith(("int", "uint")) else "real")
        while leaf in self._values:
            name += "_"
            leaf = array(name, leaf.shape, leaf.kind)
        self._values[leaf] = value
        return TracedArray(leaf)

    def parameter(self, name: str, parameter: Parameter) -> TracedArray:
        """The traced array of a parameter."""
        leaf = array(name, parameter.shape)
        self._parameters[leaf] = parameter
        return TracedArray(leaf)

    def value(self, traced: TracedArray) -> Value:
        """The value of a traced array in the graph."""
        end: Expression = expression_of(traced)
        every = ordered([end])
        for leaf in every:
            parameter = self._parameters.get(leaf)
            if parameter is not None and leaf not in self._values:
                multiplied = any(node.operator == "matmul" and leaf in node.inputs for node in every)
                self._values[leaf] = self.graph.parameter(parameter, self.graph.activations if multiplied else None)
        return lower(self.graph, self.name, [end], self._values)[0]

    def call(self, layer: Any, inputs: Sequence[TracedArray]) -> TracedArray:
        """The output of a layer that `forward` calls."""
        name = next((name for name, child in descendants(self._children) if child is layer), "")
        if not name:
            raise ConfigurationError(
                f"{self.name}: forward calls {layer!r}, which is no layer of it; make it an attribute in __init__"
            )
        values = tuple(map(self.value, inputs))
        given: Any = values if layer.joins > 1 else values[0]
        return self.input(f"{name.replace('.', '_')}_output", self.graph.lower(layer, given, name))


def append(
    graph: Graph,
    name: str,
    formula: Callable[..., Any],
    inputs: Sequence[Value],
    into: Value,
    width: int | None = None,
) -> None:
    """Appends a formula of some values of the graph, which writes its result to `into`.

    If `width` is given, the values are taken as rows of this width.
    """
    leaves = []
    for number, value in enumerate(inputs):
        shape = value.shape if width is None else (width,)
        kind = "int" if value.dtype.startswith(("int", "uint")) else "real"
        leaves.append(array(f"x{number}", (ROWS, *shape) if value.kind == "batch" else shape, kind))
    end: Expression = expression_of(traced(formula, *leaves))
    lower(graph, name, [end], dict(zip(leaves, inputs, strict=True)), into={end: into})


def descendants(children: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All layers inside a layer, by path."""
    for name, child in children.items():
        yield prefix + name, child
        yield from descendants(child.children(), f"{prefix}{name}.")


def called(layer: Any, inputs: Sequence[Any]) -> TracedArray:
    """A layer called inside `forward` of another.

    Raises
    ------
    ConfigurationError
        An input is no array of the formula.
    """
    if not all(isinstance(one, TracedArray) for one in inputs):
        given = ", ".join(type(one).__name__ for one in inputs)
        raise ConfigurationError(f"{type(layer).__name__}: called on ({given}) in a forward; expected its arrays")
    return _current.get().call(layer, inputs)


def lower_forward(layer: Any, graph: Graph, x: Any) -> Value:
    """Traces ``layer.forward(*inputs)``, in which parameters are arrays."""
    trace = Trace(graph, type(layer).__name__, layer.children())
    view = object.__new__(type(layer))
    for name, value in vars(layer).items():
        view.__dict__[name] = trace.parameter(name, value) if isinstance(value, Parameter) else value
    return trace.run(view.forward, (x,) if isinstance(x, Value) else x)


def lower_array_code(layer: Any, graph: Graph, x: Value) -> Value:
    """Traces ``layer.forward(xp, x, *parameters)``, or ``layer.forward(x)``."""
    trace = Trace(graph, type(layer).__name__, {})
    own = {name: value for name, value in vars(layer).items() if isinstance(value, Parameter)}
    parameters = [trace.parameter(name, value) for name, value in own.items()]
    takes_module = next(iter(inspect.signature(layer.forward).parameters), "") == "xp"

    def forward(x: Any) -> Any:
        return layer.forward(array_functions, x, *parameters) if takes_module else layer.forward(x, *parameters)

    return trace.run(forward, (x,))


def _names(forward: Callable[..., Any], count: int) -> list[str]:
    """The names of the inputs in the formula."""
    names = [
        name
        for name, one in inspect.signature(forward).parameters.items()
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    names = names[:count]
    return names if len(names) == count else [f"x{k}" for k in range(count)]


def inputs_of(forward: Callable[..., Any]) -> int:
    """The number of inputs of a class's `forward`, without self; 1 for array code, which gets its module first."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = [one for one in inspect.signature(forward).parameters.values() if one.kind in kinds]
    names = [one.name for one in found[1:] if one.default is one.empty]
    return 1 if "xp" in names else max(1, len(names))
