"""The base class of layers: named parameters, and how a layer appends its operations to the graph."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from ...backends.errors import ConfigurationError
from ...backends.philox import key_of
from ...kernels.tracing.traced_array import TracedArray
from ..data.target_scaling import TargetScaling
from ..graph.graph import Graph, Value
from ..registered import Registered
from ..turns import at_rest
from .answering import Answering
from .input_shape import input_shape_of
from .parameter import Parameter, fitting
from .summary import Summary
from .traced import called, inputs_of, lower_forward

DEEPEST = 50  # levels of nested layers


@dataclass(frozen=True, eq=False)
class Symbol:
    """The symbolic output of an `Input` or of a layer called on symbols; `features` is the width of an input."""

    layer: Layer | None
    sources: tuple[Symbol, ...]
    features: int = 0


class Layer(Answering, Registered):
    """Base class of all layers. A custom layer defines `forward`, a formula of arrays; or `lower`.

    ``forward(self, x)`` is called once with traced arrays. It uses `gearshift.xp`, Python's operators, the layer's
    parameters and other layers. The backward pass, the loops and the CUDA kernels are made from it. With two inputs,
    as in ``forward(self, a, b)``, the layer joins two others, as `Add` does.

    Parameters and sub-layers are instance attributes; the attribute names are their names.
    A layer is saved as its class name and constructor arguments, which must be attributes too.

    Examples
    --------
    >>> class Scaled(gs.Layer):
    ...     def __init__(self, features):
    ...         self.features, self.factor = features, gs.Parameter((features,), gs.initializers.ones)
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> Scaled(2)(np.array([[1.0, 2.0]]))
    array([[1., 2.]], dtype=float32)
    """

    dtype: str = "float32"
    classes: list[int | str] | None = None
    """Class names of a classifier; saved with the model."""
    feature_names: list[str] | None = None
    """Names of the feature columns in training, or None; saved with the model. Columns of data frames are matched by
    name."""
    preparation: Any = None
    """How the columns of tables become x (`load_dataset`); None for arrays. Saved with the model."""
    target_scaling: TargetScaling | None = None
    """Scaling of targets in training, and back in predictions; None for no scaling. Saved with the model."""
    signed_targets: tuple[int, ...] = ()
    """Columns of binary targets that were −1 and +1 in training, and are in predictions; saved with the model."""
    joins: ClassVar[int] = 1
    """Number of inputs; a layer with several inputs gets them as a tuple."""
    reads_data: ClassVar[bool] = False
    """Whether, as the first layer, it reads data in their own dtype instead of the dtype of activations."""
    registered: ClassVar[dict[str, type[Layer]]]

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "forward" in vars(cls) and "joins" not in vars(cls):
            cls.joins = inputs_of(vars(cls)["forward"])

    def lower(self, graph: Graph, x: Value) -> Value:
        """Appends the layer's operations to `graph` and returns its output: by default, those of `forward`.

        Raises
        ------
        ShapeError
            The shape of x does not fit the layer.
        ConfigurationError
            The layer has neither `lower` nor `forward`, or `forward` does what cannot be traced.
        """
        if not hasattr(self, "forward"):
            raise ConfigurationError(
                f"{type(self).__name__}: the layer has no forward(x); expected one, or lower(graph, x)"
            )
        return lower_forward(self, graph, x)

    def __call__(self, *symbols: Any) -> Any:
        """The symbolic output of the layer for these symbols, to build a `Model`; for an array x, `outputs` of x.

        Raises
        ------
        ConfigurationError
            There are another number of symbols than the layer has inputs.
        """
        if any(isinstance(symbol, TracedArray) for symbol in symbols):
            return called(self, symbols)
        several = len(symbols) == 1 and isinstance(symbols[0], list | tuple) and isinstance([*symbols[0], 0][0], Symbol)
        if len(symbols) == 1 and hasattr(symbols[0], "__len__") and not several:
            return self.outputs(symbols[0])
        if len(symbols) != self.joins or not all(isinstance(symbol, Symbol) for symbol in symbols):
            given = ", ".join("a list" if isinstance(one, list | tuple) else type(one).__name__ for one in symbols)
            raise ConfigurationError(
                f"{type(self).__name__}: called on ({given}); expected {self.joins} outputs of gs.Input or of a layer "
                "or one array of rows"
            )
        return Symbol(self, symbols)

    def trace(self, graph: Graph, x: Value) -> list[tuple[str, Layer, Value]]:
        """Lowers the layer; returns the name, layer and output of each sub-layer (or of itself, if it has none).

        Raises
        ------
        ShapeError
            The output of a layer does not fit the next one.
        """
        return [("", self, graph.lower(self, x))]

    def children(self) -> dict[str, Layer]:
        """The layers inside this one, by name; those of a list by the list's name and a number."""
        found: dict[str, Layer] = {}
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                found[name] = value
            elif isinstance(value, list | tuple):
                found |= {f"{name}.{place}": one for place, one in enumerate(value) if isinstance(one, Layer)}
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter | Layer) and hasattr(Layer, name):
            raise ConfigurationError(
                f"{type(self).__name__}: {name!r} is a name of every layer; give the {type(value).__name__} another one"
            )
        super().__setattr__(name, value)

    def __copy__(self) -> Self:
        """A copy has its own weights, like a deep copy."""
        return copy.deepcopy(self)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON values.

        Raises
        ------
        ConfigurationError
            An argument is not an attribute.
        """
        parameters = inspect.signature(type(self).__init__).parameters.values()
        named = [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)][1:]
        if lost := [name for name in named if not hasattr(self, name)]:
            raise ConfigurationError(
                f"{type(self).__name__}: the constructor's argument {lost[0]!r} is not stored; write "
                f"self.{lost[0]} = {lost[0]} in the constructor, or override config()"
            )
        return {name: getattr(self, name) for name in named}

    def parameters(self) -> list[Parameter]:
        """All parameters, each once, named by path, for example ``"0.weight"``."""
        found = self.named_parameters()
        for path, parameter in found:
            parameter.name = path
        return [parameter for _, parameter in found]

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """All parameters, each once, with their paths; their ``name`` does not change."""
        found: dict[int, tuple[str, Parameter]] = {}
        for path, parameter in self._walk(""):
            found.setdefault(id(parameter), (path, parameter))
        return list(found.values())

    def _walk(self, prefix: str) -> Iterator[tuple[str, Parameter]]:
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield prefix + name, value
        for name, layer in self.children().items():
            yield from layer._walk(f"{prefix}{name}.")

    def init(self, seed: int = 0) -> Self:
        """Initializes all weights from `seed`, replacing existing ones; returns the layer."""
        for parameter in self.parameters():
            parameter.array = parameter.owner = None
        return self.ensure_initialized(seed)

    def ensure_initialized(self, seed: int = 0) -> Self:
        """Initializes the weights that have no values yet; existing weights are kept."""
        key = key_of(seed)
        for stream, parameter in enumerate(self.parameters()):
            if parameter.array is None:
                drawn = parameter.init(key, stream, parameter.shape)
                parameter.array = np.ascontiguousarray(drawn, dtype=self.dtype).reshape(parameter.shape)
        return self

    def astype(self, dtype: str) -> Self:
        """Changes the dtype of weights and computation, ``"float32"`` or ``"float64"``; returns the layer.

        Raises
        ------
        ConfigurationError
            The dtype is neither of them.
        """
        if dtype not in ("float32", "float64"):
            raise ConfigurationError(f"dtype {dtype!r} is not supported; expected 'float32' or 'float64'")
        self._set_dtype(dtype)
        for parameter in self.parameters():
            if parameter.array is not None:
                parameter.array, parameter.owner = parameter.numpy().astype(dtype), None
        return self

    def _set_dtype(self, dtype: str) -> None:
        self.dtype = dtype
        for child in self.children().values():
            child._set_dtype(dtype)

    def to_host(self) -> Self:
        """Moves the weights into NumPy arrays, which frees device memory; returns the layer."""
        for parameter in self.parameters():
            if parameter.array is not None:
                parameter.array, parameter.owner = np.array(parameter.numpy()), None
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all weights by name, on the host; missing weights are initialized with seed 0."""
        self.ensure_initialized()
        parameters = self.parameters()
        with at_rest(parameters):
            return {parameter.name: np.array(parameter.numpy()) for parameter in parameters}

    def load_state_dict(self, tensors: Mapping[str, Any], *, strict: bool = True) -> list[str]:
        """Sets weights from arrays of the same names and shapes.

        Parameters
        ----------
        tensors : arrays by the names of parameters, as of `state_dict`.
        strict : whether the names and shapes must be the model's. Otherwise those that fit are set, and the others
            keep their values: to fine-tune a model with another last layer.

        Returns
        -------
        list of str
            The names of the model's tensors that were not set; none if `strict`.

        Raises
        ------
        CheckpointError
            A name is missing or unknown, or a shape differs; or nothing fits. No weight is changed then.
        """
        parameters, left = fitting(self.parameters(), tensors, strict)
        if left:
            self.ensure_initialized()
        for name, parameter in parameters.items():
            parameter.array, parameter.owner = np.array(tensors[name], dtype=self.dtype, order="C"), None
        return left

    def save(self, path: str | Path) -> None:
        """Writes structure and weights to a safetensors file, which `gearshift.load` reads."""
        from ..storage.models import save_model

        save_model(self, path)

    def summary(self, input_shape: tuple[int, ...] | None = None) -> Summary:
        """Layers, output shapes, parameters and memory, as an object that prints as a table."""
        graph = Graph(self.dtype, train=True)
        x = graph.batch(input_shape or input_shape_of(self))
        self.parameters()  # assigns names
        rows = [
            (name, repr(layer), y.example_shape, sum(p.size for _, p in layer.named_parameters()))
            for name, layer, y in self.trace(graph, x)
        ]
        count = sum(parameter.size for parameter in self.parameters())
        return Summary(tuple(rows), count, count * np.dtype(self.dtype).itemsize)

    def describe(self, depth: int = 0) -> dict[str, Any]:
        """The layer's structure as JSON values: class, dtype and constructor arguments, without weights.

        Raises
        ------
        ConfigurationError
            Layers are nested too deeply to be read back; `depth` is the number of layers around this one.
        """
        if depth > DEEPEST:
            raise ConfigurationError(f"layers are nested more than {DEEPEST} deep, which no checkpoint can hold")
        return {"class": type(self).__name__, "dtype": self.dtype, **self._contents(depth)}

    def _contents(self, depth: int) -> dict[str, Any]:
        return {"arguments": self.config()}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.config().items())
        return f"{type(self).__name__}({arguments})"
