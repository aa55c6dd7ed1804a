"""Models that are directed acyclic graphs of layers: layers are called on symbols (functional API)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any, ClassVar

from ...backends.errors import ConfigurationError, ShapeError
from ...kernels.arrays.add import ADD
from ...kernels.arrays.concatenate import JOIN, SPLIT
from ..graph.graph import Graph, Value
from ..values import require_count
from .base import Layer, Symbol


def Input(features: int) -> Symbol:
    """A symbolic model input with `features` columns, on which layers are called.

    Raises
    ------
    ConfigurationError
        `features` is not an integer of at least 1.

    Examples
    --------
    >>> x = gs.Input(8)
    >>> model = gs.Model(x, gs.Linear(8, 3)(gs.ReLU()(x)))
    >>> model(np.ones((2, 8))).shape
    (2, 3)
    """
    require_count("Input", features=features)
    return Symbol(None, (), features)


class Joining(Layer, named=False):
    """Base class of layers that join two inputs, or more one after the other."""

    joins = 2

    def __call__(self, *symbols: Any) -> Any:
        """The symbolic output for two or more symbols; an own layer joins each further one."""
        if len(symbols) <= self.joins:
            return super().__call__(*symbols)
        return reduce(lambda joined, symbol: type(self)()(joined, symbol), symbols[1:], symbols[0])


class Add(Joining):
    """Sum of two or more inputs of equal shape, as in a skip connection: ``gs.Add()(x, h)``.

    Examples
    --------
    >>> x = gs.Input(8)
    >>> h = gs.Linear(8, 8)(x)
    >>> model = gs.Model(x, gs.Add()(x, h))
    """

    def lower(self, graph: Graph, x: Any) -> Value:
        a, b = x
        if a.example_shape != b.example_shape:
            raise ShapeError(f"Add expects rows of one shape, but gets {a.example_shape} and {b.example_shape}")
        y = graph.batch(a.shape)
        graph.apply(ADD, (a, b), (y,))
        return y


class Concatenate(Joining):
    """Concatenates the columns of two or more inputs, (rows, m + n): ``gs.Concatenate()(a, b)``.

    Examples
    --------
    >>> a, b = gs.Input(3), gs.Input(2)
    >>> gs.Model([a, b], gs.Concatenate()(b, a))(np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]))
    array([[4., 5., 1., 2., 3.]], dtype=float32)
    """

    def lower(self, graph: Graph, x: Any) -> Value:
        a, b = x
        if a.rows_per_example != b.rows_per_example:
            raise ShapeError(
                f"Concatenate expects inputs with equal rows per example, but gets {a.rows_per_example} "
                f"and {b.rows_per_example}"
            )
        y = graph.batch((a.shape[0] + b.shape[0],))
        graph.apply(JOIN, (a, b), (y,))
        return y


class Model(Layer):
    """A model given by its symbolic inputs and output; a layer that is called twice shares its weights.

    Layers are named by number, in the order of computation.

    Parameters
    ----------
    inputs : an `Input`, or several; their columns are concatenated in x in this order.
    output : the output symbol, or several; their columns are concatenated in the prediction in this order, see
        `JointLoss`.
    dtype : of weights and computation, ``"float32"`` or ``"float64"``.

    Raises
    ------
    ConfigurationError
        The output needs an `Input` that is not among `inputs`, or does not need one that is.

    Examples
    --------
    >>> x = gs.Input(8)
    >>> h = gs.ReLU()(gs.Linear(8, 8)(x))
    >>> model = gs.Model(x, gs.Linear(8, 3)(gs.Add()(x, h)))  # with a skip connection
    >>> model(np.ones((2, 8))).shape
    (2, 3)
    """

    reads_data: ClassVar[bool] = True

    def __init__(
        self, inputs: Symbol | Sequence[Symbol], output: Symbol | Sequence[Symbol], dtype: str = "float32"
    ) -> None:
        self.inputs, outputs = _symbols("inputs", inputs), _symbols("output", output)
        if not outputs:
            raise ConfigurationError("Model: output is empty; expected one or more symbols")
        self.output = reduce(lambda joined, symbol: Concatenate()(joined, symbol), outputs)
        self.symbols = _in_order(self.output)
        needed = [symbol for symbol in self.symbols if symbol.layer is None]
        if any(symbol not in self.inputs for symbol in needed):
            raise ConfigurationError("Model: the output depends on a gs.Input that is not among inputs; add it")
        if len(needed) != len(self.inputs):
            raise ConfigurationError("Model: every item of inputs must be a gs.Input that the output depends on")
        self.layers = list(dict.fromkeys(symbol.layer for symbol in self.symbols if symbol.layer is not None))
        self.astype(dtype)

    @property
    def in_features(self) -> int:
        """The number of features of x: the sum over all inputs."""
        return sum(symbol.features for symbol in self.inputs)

    def children(self) -> dict[str, Layer]:
        return {str(position): layer for position, layer in enumerate(self.layers)}

    def lower(self, graph: Graph, x: Value) -> Value:
        return self.trace(graph, x)[-1][2]

    def trace(self, graph: Graph, x: Value) -> list[tuple[str, Layer, Value]]:
        if x.shape != (self.in_features,):
            raise ShapeError(f"Model expects {self.in_features} features a row, but gets rows of shape {x.shape}")
        values: dict[Symbol, Value] = {}
        for symbol in self.inputs[:-1]:
            rest = graph.batch((x.shape[0] - symbol.features,), x.dtype)
            values[symbol] = graph.batch((symbol.features,), x.dtype)
            graph.apply(SPLIT, (x,), (values[symbol], rest))
            x = rest
        values[self.inputs[-1]] = x
        found = []
        for symbol in self.symbols:
            if symbol.layer is not None:
                name = str(self.layers.index(symbol.layer))
                sources = tuple(values[source] for source in symbol.sources)
                argument: Any = sources if symbol.layer.joins > 1 else sources[0]
                values[symbol] = graph.lower(symbol.layer, argument, name)
                found.append((name, symbol.layer, values[symbol]))
        return found

    def config(self) -> dict[str, Any]:
        raise NotImplementedError("a Model is saved as its layers and its wiring")

    def _contents(self, depth: int) -> dict[str, Any]:
        return {"layers": [child.describe(depth + 1) for child in self.layers], "wiring": self.wiring()}

    def wiring(self) -> dict[str, Any]:
        """Which layer reads which values, as JSON values; `wired` is the inverse."""
        number = {symbol: i for i, symbol in enumerate(self.symbols)}
        return {
            "inputs": [[number[symbol], symbol.features] for symbol in self.inputs],
            "calls": [
                None if s.layer is None else [self.layers.index(s.layer), *(number[source] for source in s.sources)]
                for s in self.symbols
            ],
        }

    @classmethod
    def wired(cls, layers: Sequence[Layer], wiring: dict[str, Any], dtype: str) -> Model:
        """The model of these layers with that wiring."""
        inputs = {number: Input(features) for number, features in wiring["inputs"]}
        symbols: list[Symbol] = []
        for number, call in enumerate(wiring["calls"]):
            symbols.append(inputs[number] if call is None else layers[call[0]](*(symbols[i] for i in call[1:])))
        return cls(list(inputs.values()), symbols[-1], dtype)

    def __repr__(self) -> str:
        calls = [
            f"{number} = "
            + (f"Input({s.features})" if s.layer is None else f"{s.layer!r}({', '.join(map(str, reads))})")
            for number, (s, reads) in enumerate(
                (s, [self.symbols.index(source) for source in s.sources]) for s in self.symbols
            )
        ]
        return f"Model({'; '.join(calls)})"


def _symbols(name: str, given: Any) -> tuple[Symbol, ...]:
    """One or several symbols as a tuple."""
    found = (given,) if isinstance(given, Symbol) or not isinstance(given, Iterable) else tuple(given)
    if not all(isinstance(one, Symbol) for one in found):
        raise ConfigurationError(
            f"Model: {name} is {given!r}; expected a gs.Input, or a layer called on one, as gs.Linear(8, 3)(x)"
        )
    return found


def _in_order(output: Symbol) -> list[Symbol]:
    """All symbols that the output depends on, in topological order."""
    found: dict[Symbol, None] = {}
    pending = [output]
    while pending:
        symbol = pending[-1]
        missing = [source for source in symbol.sources if source not in found]
        if missing:
            pending.extend(reversed(missing))
        else:
            found[pending.pop()] = None
    return list(found)
