"""A model that is a directed acyclic graph, from a list of layers with names and inputs, as in a configuration."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from ..backends.errors import ConfigurationError, ShapeError
from .graph import Graph, Value
from .layers import Input, Layer, Linear, Model, Sequential
from .layers.base import Symbol

INPUT = "x"


def wire(tables: Sequence[Mapping[str, Any]], features: int, outputs: int, dtype: str = "float32") -> Model:
    """The model of `tables`, from rows of `features` numbers to the last layer's `outputs`.

    Parameters
    ----------
    tables : one for each call of a layer: ``kind``, the class of the layer, or ``shares``, the name of an earlier one
        whose weights it uses; ``name``; ``inputs``, the names that it reads, where ``"x"`` is the input, by default
        the layer before; and the arguments of the class. Widths of inputs are filled in, and the last layer's
        ``out_features``.

    Raises
    ------
    ConfigurationError
        A name, a kind or an argument is unknown, a width does not fit, or nobody reads a layer.
    """
    known: dict[str, tuple[Symbol, Value, Layer | None]] = {}
    graph, entry = Graph(dtype), Input(features)
    known[INPUT] = entry, graph.batch((features,)), None
    before, unread = INPUT, dict.fromkeys([INPUT])
    for number, table in enumerate(tables):
        arguments = dict(table)
        name = arguments.pop("name", "") or str(number)
        where = f"model.layers {name!r}"
        sources = arguments.pop("inputs", None) or [before]
        kind, shares = arguments.pop("kind", ""), arguments.pop("shares", "")
        if name in known:
            raise ConfigurationError(f"{where} is there already; give each layer a name of its own")
        for source in (*sources, *([shares] if shares else [])):
            _known(where, "name before it", source, known)
        values = [known[source][1] for source in sources]
        if shares:
            layer = known[shares][2]
            if layer is None or kind or arguments:
                raise ConfigurationError(
                    f"{where} shares {shares!r}; expected a layer's name, and no kind or arguments"
                )
        else:
            last = number == len(tables) - 1
            layer = _made(where, kind, arguments, values, outputs if last else None)
        symbols = [known[source][0] for source in sources]
        if len(symbols) != layer.joins:
            raise ConfigurationError(f"{where} reads {len(symbols)} inputs; {type(layer).__name__} has {layer.joins}")
        argument: Any = tuple(values) if layer.joins > 1 else values[0]
        try:
            known[name] = layer(*symbols), graph.lower(layer, argument, name), layer
        except ShapeError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        unread[name] = None
        for source in sources:
            unread.pop(source, None)
        before = name
    unread.pop(before)
    if unread:
        raise ConfigurationError(f"model.layers: nobody reads {next(iter(unread))!r}")
    symbol, value, _ = known[before]
    if value.shape != (outputs,):
        raise ConfigurationError(f"model.layers {before!r} is the last and gives {value.shape}; expected ({outputs},)")
    return Model(entry, symbol, dtype)


def _made(where: str, kind: str, arguments: dict[str, Any], values: list[Value], outputs: int | None) -> Layer:
    kinds = {name: each for name, each in Layer.registered.items() if each not in (Model, Sequential)}
    _known(where, "kind of layer", kind, kinds)
    made = kinds[kind]
    accepted = inspect.signature(made).parameters
    for argument in arguments:
        _known(where, f"argument of {kind}", argument, accepted)
    for width in ("in_features", "features"):
        if width in accepted:
            arguments.setdefault(width, values[0].shape[0])
    if made is Linear and outputs is not None:
        arguments.setdefault("out_features", outputs)
    try:
        return made(**arguments)
    except TypeError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _known(where: str, what: str, name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        meant = f"did you mean {close[0]!r}?" if close else f"expected one of: {', '.join(known)}"
        raise ConfigurationError(f"{where}: {name!r} is no {what}; {meant}")
