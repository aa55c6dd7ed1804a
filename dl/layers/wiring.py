"""Builds a model from a configuration's list of layers with names and inputs (a directed acyclic graph)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...backends.errors import ConfigurationError, ShapeError
from ..graph.graph import Graph, Value
from ..hints import hint
from . import Embedding, Input, Layer, Linear, Model, Sequential
from .base import Symbol
from .model import Joining

INPUT = "x"


def wire(
    tables: Sequence[Mapping[str, Any]],
    inputs: int | Mapping[str, int],
    outputs: int | Mapping[str, int],
    dtype: str = "float32",
    tokens: Callable[[], int] | None = None,
) -> Model:
    """Builds the model that `tables` describe.

    Parameters
    ----------
    tables : one for each call of a layer: ``kind``, the class of the layer, or ``shares``, the name of an earlier one
        whose weights it uses; ``name``; ``inputs``, the names that it reads, by default the layer before; and the
        arguments of the class, of which ``layers`` are tables again, for a class that applies layers in sequence,
        such as `Residual`. Widths of inputs are filled in, and the outputs' ``out_features``.
    inputs : the width of a row, which is called ``"x"``; or names and widths of its parts, from left to right.
    outputs : the width of the last layer; or those of the layers of these names, in the order of a `JointLoss`.
    tokens : how many different tokens the data have, for an `Embedding` that does not say it.

    Raises
    ------
    ConfigurationError
        A name, a kind or an argument is unknown, a width does not fit, or a layer's output is not used.
    """
    named = {INPUT: inputs} if isinstance(inputs, int) else dict(inputs)
    names = [table.get("name") or str(number) for number, table in enumerate(tables)]
    wanted = {names[-1]: outputs} if isinstance(outputs, int) else dict(outputs)
    for output in wanted:
        _known("model.layers", "name of a layer, but an output", output, dict.fromkeys(names))
    wiring = _Wiring(named, dtype, tokens)
    unread, before = dict.fromkeys(named), next(iter(named))
    for name, table in zip(names, tables, strict=True):
        sources = table.get("inputs") or [before]
        wiring.call(name, table, sources, wanted.get(name))
        unread[name] = None
        for source in sources:
            unread.pop(source, None)
        before = name
    for name, width in wanted.items():
        unread.pop(name, None)
        shape = wiring.values[name].shape
        if shape != (width,):
            which = "the last and" if isinstance(outputs, int) else "an output and"
            raise ConfigurationError(f"model.layers {name!r} is {which} gives {shape}; expected ({width},)")
    if unread:
        raise ConfigurationError(f"model.layers: the output of {next(iter(unread))!r} is not used")
    symbols = wiring.symbols
    return Model([symbols[name] for name in named], [symbols[name] for name in wanted], dtype)


class _Wiring:
    """The layers called so far: symbols, values (for their shapes) and layers, by name."""

    def __init__(self, inputs: Mapping[str, int], dtype: str, tokens: Callable[[], int] | None) -> None:
        self.graph, self.tokens = Graph(dtype), tokens
        self.symbols: dict[str, Symbol] = {name: Input(features) for name, features in inputs.items()}
        self.values: dict[str, Value] = {name: self.graph.batch((features,)) for name, features in inputs.items()}
        self.layers: dict[str, Layer] = {}

    def call(self, name: str, table: Mapping[str, Any], sources: Sequence[str], width: int | None) -> None:
        where = f"model.layers {name!r}"
        if name in self.symbols:
            raise ConfigurationError(f"{where} occurs twice; give each layer a unique name")
        for source in sources:
            _known(where, "name before it", source, self.symbols)
        arguments = {key: value for key, value in table.items() if key not in ("name", "inputs")}
        shares = arguments.pop("shares", "")
        values = [self.values[source] for source in sources]
        if shares:
            if shares not in self.layers or any(arguments.values()):
                raise ConfigurationError(f"{where} shares {shares!r}; expected only the name of an earlier layer")
            layer = self.layers[shares]
        else:
            layer = self.made(where, arguments, values[0], width)
        joins = isinstance(layer, Joining) and len(sources) > layer.joins
        if len(sources) != layer.joins and not joins:
            raise ConfigurationError(f"{where} reads {len(sources)} inputs; {type(layer).__name__} has {layer.joins}")
        value = values[0]
        for start in range(1, len(values)) if layer.joins > 1 else (0,):
            value = self.lowered(where, layer, (value, values[start]) if layer.joins > 1 else value, name)
        self.values[name] = value
        self.symbols[name] = layer(*(self.symbols[source] for source in sources))
        self.layers[name] = layer

    def made(self, where: str, given: Mapping[str, Any], x: Value, width: int | None = None) -> Layer:
        """The layer of a table that reads `x`; `width` is the width of its output, if known."""
        arguments = dict(given)
        kind, inner = arguments.pop("kind", ""), arguments.pop("layers", [])
        kinds = {name: each for name, each in Layer.registered.items() if each is not Model}
        _known(where, "kind of layer", kind, kinds)
        made = kinds[kind]
        if issubclass(made, Sequential):
            return self.strung(where, made, arguments, inner, x)
        accepted = inspect.signature(made).parameters
        for argument in (*arguments, *(["layers"] if inner else [])):
            _known(where, f"argument of {kind}", argument, accepted)
        for features in ("in_features", "features"):
            if features in accepted:
                arguments.setdefault(features, x.shape[0])
        if made is Linear and width is not None:
            arguments.setdefault("out_features", width)
        if made is Embedding and self.tokens is not None and "num_embeddings" not in arguments:
            arguments["num_embeddings"] = self.tokens()
        try:
            return made(**arguments)
        except TypeError as error:
            raise ConfigurationError(f"{where}: {error}") from None

    def strung(
        self,
        where: str,
        made: type[Sequential],
        arguments: dict[str, Any],
        inner: Sequence[Mapping[str, Any]],
        x: Value,
    ) -> Sequential:
        """A layer that contains layers, each of which reads the one before."""
        if arguments:
            raise ConfigurationError(f"{where}: {made.__name__} accepts only `layers`, not {next(iter(arguments))!r}")
        layers = []
        for number, table in enumerate(inner):
            place = f"{where}, layers {number}"
            for key in ("name", "inputs", "shares"):
                if table.get(key):
                    raise ConfigurationError(f"{place} has {key!r}; layers in a {made.__name__} read the previous one")
            own = {key: value for key, value in table.items() if key not in ("name", "inputs", "shares")}
            layers.append(self.made(place, own, x))
            if layers[-1].joins != 1:
                raise ConfigurationError(f"{place} is {own['kind']}, which reads {layers[-1].joins} inputs")
            x = self.lowered(place, layers[-1], x)
        try:
            return made(*layers)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None

    def lowered(self, where: str, layer: Layer, x: Any, name: str = "") -> Value:
        try:
            return self.graph.lower(layer, x, name)
        except ShapeError as error:
            raise ConfigurationError(f"{where}: {error}") from None


def _known(where: str, what: str, name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        raise ConfigurationError(f"{where}: {name!r} is no {what}; {hint(name, known)}")
