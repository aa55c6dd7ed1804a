"""A model as a list of operations on named values: a directed acyclic graph, written in the order it runs.

Layers append operations (``graph.apply``); `Graph.differentiate` appends the backward operations to the
same list. Nothing here holds an array: a `Plan` binds the list to a backend.
"""

from __future__ import annotations

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
    """What a graph asks of a layer's parameter."""

    name: str
    shape: tuple[int, ...]
    trained: bool


class Lowers(Protocol):
    """What a graph asks of a layer."""

    reads_data: ClassVar[bool]

    def lower(self, graph: Graph, x: Any) -> Value: ...


@dataclass(frozen=True, eq=False)
class Value:
    """An array of the graph.

    Parameters
    ----------
    name : for messages; shared values are looked up by it.
    shape : without the batch.
    dtype : NumPy's name of it.
    kind : ``"batch"`` values have the batch's rows as first dimension; ``"fixed"`` ones have `shape` alone.
        Both belong to the plan. ``"parameter"`` values lie in the arena, ``"shared"`` ones belong to the run.
    each : rows of a ``"batch"`` value for each example of the batch, as a sequence has one for each of its tokens.
    mask : for sequences with padding, the value (rows, each) that is 1 where a token counts and 0 where it fills up.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: Kind
    each: int = 1
    mask: Value | None = None

    @property
    def example_shape(self) -> tuple[int, ...]:
        """The shape of the part of one example: its rows first, where there are several."""
        return self.shape if self.each == 1 else (self.each, *self.shape)


@dataclass(frozen=True, eq=False)
class Node:
    """One operation at its place in the list; `layer` and `phase` say where it comes from."""

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
    """The list, and what is known of its values.

    Parameters
    ----------
    dtype : of parameters, losses and gradients of parameters, ``"float32"`` or ``"float64"``.
    train : whether layers that differ in training, like dropout, should lower to their training form.
    precision : as `Trainer` names it; None is the dtype's own.
    categories : for a value that holds numbers of categories, 0, 1, …, how many there are.
    terms : what layers add to the loss, with weights; None where there is no loss, so that nothing is computed for it.
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
    _each: int = 1
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
        """Whether gradients are scaled on their way back, so that none is too small for float16."""
        return self.train and self.precision == "float16"

    def batch(
        self,
        shape: tuple[int, ...],
        dtype: str | None = None,
        name: str = "",
        each: int | None = None,
        mask: Value | None = None,
    ) -> Value:
        """A new value with `each` rows for each example of the batch; in a layer, by default as its input has them."""
        if each is None:
            each, mask = self._each, self._mask
        return Value(name or self._layer, shape, dtype or self.activations, "batch", each, mask)

    def fixed(self, shape: tuple[int, ...], dtype: str) -> Value:
        """A new value of the plan's own whose shape does not depend on the batch, for scratch."""
        return Value(self._layer, shape, dtype, "fixed")

    def shared(self, name: str, shape: tuple[int, ...], dtype: str | None = None) -> Value:
        """The run's array of that name."""
        return self._shared.setdefault(name, Value(name, shape, dtype or self.dtype, "shared"))

    def parameter(self, parameter: Tensor, dtype: str | None = None) -> Value:
        """The value of a parameter; a shared layer's is one value however often it is read.

        With the dtype of the activations, as products want it, it is the parameter's low-precision copy.
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
        return Value(f"d {value.name}", value.shape, value.dtype, kind, value.each)

    def apply(
        self, operation: Operation, inputs: tuple[Value, ...], outputs: tuple[Value, ...], **attributes: Attribute
    ) -> None:
        """Appends an operation that reads `inputs` and writes `outputs`."""
        if operation.product and self.precision == "tf32":
            attributes["tf32"] = 1
        if not operation.short and any(value.dtype in SHORT for value in inputs + outputs):
            raise ConfigurationError(
                f"layer {self._layer or '0'}: {operation.name} has no form for precision {self.precision!r}; "
                "take 'float32' or 'tf32'"
            )
        self.nodes.append(Node(operation, inputs, outputs, attributes, self._layer, self.phase))
        if any(value in self._differentiable for value in inputs):
            self._differentiable.update(outputs)

    def defer(self, operation: Operation, inputs: tuple[Value, ...], **attributes: Attribute) -> None:
        """Notes an operation that changes its inputs after a step's update: a training step alone runs it."""
        self.deferred.append(Node(operation, inputs, (), attributes, self._layer, "update"))

    def lower(self, layer: Lowers, x: Value, name: str = "") -> Value:
        """Appends a layer's operations and returns its output; `name` goes into messages."""
        outer, before = self._layer, (self._each, self._mask)
        self._layer = f"{outer}.{name}" if outer and name else outer or name
        given: Any = x
        if not layer.reads_data:
            given = self.rounded(x) if isinstance(x, Value) else tuple(map(self.rounded, x))
        first = x if isinstance(x, Value) else x[0]  # a layer that joins values gets several
        self._each, self._mask = first.each, first.mask
        try:
            return layer.lower(self, given)
        except ShapeError as error:
            raise error if "layer " in str(error) else ShapeError(f"layer {self._layer or '0'}: {error}") from None
        finally:
            self._layer, (self._each, self._mask) = outer, before

    def rounded(self, x: Value) -> Value:
        """Data in the dtype of activations: x itself where it has it."""
        if self.activations in (x.dtype, self.dtype):
            return x
        if x not in self._rounded:
            self._rounded[x] = self.batch(x.shape, each=x.each, mask=x.mask)
            self.apply(CONVERT, (x,), (self._rounded[x],))
        return self._rounded[x]

    def add_term(self, term: Value, weight: float) -> None:
        """Adds `weight` · `term` to the loss: the mean of a number a row (rows, 1), or one number (1,)."""
        if self.terms is not None:
            self.terms.append((term, float(weight)))

    def next_dropout(self) -> int:
        """Numbers the layers that draw, so that each has a random stream of its own."""
        self._dropouts += 1
        return self._dropouts - 1

    def needs_gradient(self, value: Value) -> bool:
        """Whether a parameter stands behind the value."""
        return value in self._differentiable

    def add_gradient(self, value: Value, gradient: Value) -> None:
        """Notes a gradient of `value`: the first is taken as it is, later ones are added."""
        known = self.gradients.get(value)
        if known is not None:
            total = self.like(value)
            self.apply(ADD, (known, gradient), (total,))
            gradient = total
        self.gradients[value] = gradient

    def begin_gradient(self, value: Value, gradient: Value) -> None:
        """Notes a gradient of `value` that the loss is where it begins: here it is scaled, for float16."""
        if not self.needs_gradient(value):
            return
        if self.scaled:
            plain, gradient = gradient, self.like(value)
            self.apply(SCALE_GRADIENT, (plain, self.shared("loss scale", (3,))), (gradient,))
        self.add_gradient(value, gradient)

    def differentiate(self) -> None:
        """Appends backward operations, from the gradients that losses have noted back to the parameters."""
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
