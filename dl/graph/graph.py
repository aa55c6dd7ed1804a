"""The graph of operations on named values: a model or a training step, in the order in which it runs.

Layers append operations (``graph.apply``); `Graph.differentiate` appends the backward operations.
The graph holds no arrays: a `Plan` binds it to a backend.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from ...backends.errors import ConfigurationError, ShapeError
from ...backends.precision import SHORT
from ...kernels.arrays.add import ADD
from ...kernels.batches.convert import CONVERT
from ...kernels.operation import Attribute, Operation
from ...kernels.updates.loss_scale import SCALE_GRADIENT

Kind = Literal["batch", "fixed", "parameter", "shared"]


class Tensor(Protocol):
    """What the graph needs of a layer's parameter."""

    name: str
    shape: tuple[int, ...]
    trained: bool


class Lowers(Protocol):
    """What the graph needs of a layer."""

    reads_data: ClassVar[bool]
    joins: ClassVar[int]

    def lower(self, graph: Graph, x: Any) -> Value: ...


@dataclass(frozen=True, eq=False)
class Value:
    """An array of the graph: its name, shape and dtype.

    Parameters
    ----------
    name : used in messages; shared values are looked up by name.
    shape : without the batch dimension.
    dtype : NumPy's name of the dtype.
    kind : ``"batch"`` values have the batch's rows as first dimension; ``"fixed"`` ones have `shape` alone.
        Both belong to the plan. ``"parameter"`` values lie in the arena, ``"shared"`` ones belong to the run.
    rows_per_example : rows per example of a ``"batch"`` value; a sequence has one row per token.
    mask : for sequences with padding, the value (rows, each) that is 1 for tokens and 0 for padding.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: Kind
    rows_per_example: int = 1
    mask: Value | None = None

    @property
    def example_shape(self) -> tuple[int, ...]:
        """The shape of one example; if it has several rows, they are the first dimension."""
        return self.shape if self.rows_per_example == 1 else (self.rows_per_example, *self.shape)

    @property
    def example_size(self) -> int:
        """The elements of one example."""
        return math.prod(self.example_shape)


@dataclass(frozen=True, eq=False)
class Node:
    """One operation of the graph; `layer` and `phase` say where it comes from."""

    operation: Operation
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Attribute]
    layer: str
    phase: str

    @property
    def values(self) -> tuple[Value, ...]:
        """Inputs, then outputs."""
        return self.inputs + self.outputs


@dataclass
class Graph:
    """The graph of a model or of a training step: operations in the order in which they run, and their values.

    Parameters
    ----------
    dtype : of parameters, their gradients and losses: ``"float32"`` or ``"float64"``.
    train : whether layers such as dropout lower to their training form.
    precision : as `Trainer` names it; None is the dtype's own.
    categories : number of categories of each value that holds category indices 0, 1, ….
    terms : terms that layers add to the loss, with weights; None if there is no loss, so that they are not computed.
    """

    dtype: str
    train: bool = False
    precision: str | None = None
    nodes: list[Node] = field(default_factory=list)
    gradients: dict[Value, Value] = field(default_factory=dict)
    parameters: dict[str, Value] = field(default_factory=dict)
    outputs: set[Value] = field(default_factory=set)
    deferred: list[Node] = field(default_factory=list)
    terms: list[tuple[Value, float]] | None = None
    phase: str = "forward"
    categories: dict[Value, int] = field(default_factory=dict)
    _layer: str = ""
    _rows_per_example: int = 1
    _mask: Value | None = None
    _by_parameter: dict[int, Value] = field(default_factory=dict)
    _rounded: dict[Value, Value] = field(default_factory=dict)
    _shared: dict[str, Value] = field(default_factory=dict)
    _differentiable: set[Value] = field(default_factory=set)
    _dropouts: int = 0

    @property
    def activations(self) -> str:
        """The dtype of activations and their gradients."""
        return self.precision if self.precision in SHORT else self.dtype

    @property
    def scaled(self) -> bool:
        """Whether gradients are scaled in the backward pass, so that they do not underflow in float16."""
        return self.train and self.precision == "float16"

    def batch(
        self,
        shape: tuple[int, ...],
        dtype: str | None = None,
        name: str = "",
        rows_per_example: int | None = None,
        mask: Value | None = None,
    ) -> Value:
        """A new batch value; `rows_per_example` and `mask` are by default those of the current layer's input."""
        if rows_per_example is None:
            rows_per_example, mask = self._rows_per_example, self._mask
        return Value(name or self._layer, shape, dtype or self.activations, "batch", rows_per_example, mask)

    def fixed(self, shape: tuple[int, ...], dtype: str) -> Value:
        """A new scratch value of the plan whose shape does not depend on the batch."""
        return Value(self._layer, shape, dtype, "fixed")

    def shared(self, name: str, shape: tuple[int, ...], dtype: str | None = None) -> Value:
        """The value of the run's array called `name`."""
        return self._shared.setdefault(name, Value(name, shape, dtype or self.dtype, "shared"))

    def parameter(self, parameter: Tensor, dtype: str | None = None) -> Value:
        """The value of a parameter; a layer that is used several times has one value per parameter.

        With the dtype of the activations, which matrix products read, it is the parameter's low-precision copy.
        """
        value = self._by_parameter.get(id(parameter))
        if value is None:
            value = Value(parameter.name, parameter.shape, dtype or self.dtype, "parameter")
            self._by_parameter[id(parameter)] = self.parameters[parameter.name] = value
            if parameter.trained:
                self._differentiable.add(value)
        return value

    def like(self, value: Value) -> Value:
        """A new value of the same shape, for a gradient or for scratch."""
        if value.kind == "parameter":
            return Value(f"d {value.name}", value.shape, self.dtype, "fixed")
        kind = "batch" if value.kind == "batch" else "fixed"
        return Value(f"d {value.name}", value.shape, value.dtype, kind, value.rows_per_example)

    def apply(
        self, operation: Operation, inputs: tuple[Value, ...], outputs: tuple[Value, ...], **attributes: Attribute
    ) -> None:
        """Appends an operation that reads `inputs` and writes `outputs`."""
        if operation.product and self.precision == "tf32":
            attributes["tf32"] = 1
        if not operation.short and any(value.dtype in SHORT for value in inputs + outputs):
            raise ConfigurationError(
                f"layer {self._layer or '0'}: {operation.name} does not support precision {self.precision!r}; "
                "use 'float32' or 'tf32'"
            )
        self.nodes.append(Node(operation, inputs, outputs, attributes, self._layer, self.phase))
        if any(value in self._differentiable for value in inputs):
            self._differentiable.update(outputs)

    def defer(self, operation: Operation, inputs: tuple[Value, ...], **attributes: Attribute) -> None:
        """Adds an operation that runs after the update of a training step and changes its inputs."""
        self.deferred.append(Node(operation, inputs, (), attributes, self._layer, "update"))

    def lower(self, layer: Lowers, x: Value, name: str = "") -> Value:
        """Appends a layer's operations and returns its output; `name` is used in messages."""
        outer, before = self._layer, (self._rows_per_example, self._mask)
        self._layer = f"{outer}.{name}" if outer and name else outer or name
        given: Any = x
        if not layer.reads_data:
            given = self.rounded(x) if isinstance(x, Value) else tuple(map(self.rounded, x))
        given_count = 1 if isinstance(x, Value) else len(x)
        if given_count != layer.joins:
            what = f"{type(layer).__name__} reads {layer.joins} input{'s' if layer.joins > 1 else ''}"
            raise ShapeError(f"layer {self._layer or '0'}: {what}, but gets {given_count}")
        first = x if isinstance(x, Value) else x[0]  # a layer with several inputs gets a tuple
        self._rows_per_example, self._mask = first.rows_per_example, first.mask
        try:
            return layer.lower(self, given)
        except ShapeError as error:
            raise error if "layer " in str(error) else ShapeError(f"layer {self._layer or '0'}: {error}") from None
        finally:
            self._layer, (self._rows_per_example, self._mask) = outer, before

    def rounded(self, x: Value) -> Value:
        """x in the dtype of activations; x itself if it has that dtype."""
        if self.activations in (x.dtype, self.dtype):
            return x
        if x not in self._rounded:
            self._rounded[x] = self.batch(x.shape, rows_per_example=x.rows_per_example, mask=x.mask)
            self.apply(CONVERT, (x,), (self._rounded[x],))
        return self._rounded[x]

    def add_term(self, term: Value, weight: float) -> None:
        """Adds `weight` · `term` to the loss: the mean of one number per row (rows, 1), or one number (1,)."""
        if self.terms is not None:
            self.terms.append((term, float(weight)))

    def next_dropout(self) -> int:
        """Counts the layers that draw random numbers, so that each has its own random stream."""
        self._dropouts += 1
        return self._dropouts - 1

    def needs_gradient(self, value: Value) -> bool:
        """Whether the value depends on a parameter."""
        return value in self._differentiable

    def add_gradient(self, value: Value, gradient: Value) -> None:
        """Records a gradient of `value`; further gradients are added to the first."""
        known = self.gradients.get(value)
        if known is not None:
            total = self.like(value)
            self.apply(ADD, (known, gradient), (total,))
            gradient = total
        self.gradients[value] = gradient

    def begin_gradient(self, value: Value, gradient: Value) -> None:
        """Records a gradient of `value` that comes directly from the loss; for float16 it is scaled here."""
        if not self.needs_gradient(value):
            return
        if self.scaled:
            plain, gradient = gradient, self.like(value)
            self.apply(SCALE_GRADIENT, (plain, self.shared("loss scale", (3,))), (gradient,))
        self.add_gradient(value, gradient)

    def differentiate(self) -> None:
        """Appends the backward operations, from the recorded gradients of the losses back to the parameters."""
        for node in reversed(self.nodes.copy()):
            if not any(self.needs_gradient(value) for value in node.inputs):
                continue
            gradients = [self.gradients.get(value) for value in node.outputs]
            if all(gradient is None for gradient in gradients):
                continue
            if node.operation.gradient is None:
                raise ConfigurationError(
                    f"layer {node.layer}: {node.operation.name} has no derivative; "
                    "it can only stand before the first layer with weights"
                )
            with self._backward_of(node):
                for value, gradient in zip(node.inputs, node.operation.gradient(self, node, *gradients), strict=True):
                    if gradient is not None and self.needs_gradient(value):
                        self.add_gradient(value, gradient)

    @contextmanager
    def _backward_of(self, node: Node) -> Iterator[None]:
        before = self._layer, self.phase
        self._layer, self.phase = node.layer, "backward"
        yield
        self._layer, self.phase = before
