"""The sequential model: layers applied in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ...backends.errors import ConfigurationError
from ..graph.graph import Graph, Value
from .base import Layer


class Sequential(Layer):
    """Applies `layers` in order; parameters are named by position, for example ``"0.weight"``.

    Parameters
    ----------
    *layers : at least one.
    dtype : of weights and computation, ``"float32"`` or ``"float64"``.

    Raises
    ------
    ConfigurationError
        There are no layers, or an argument is not a layer.

    Examples
    --------
    >>> model = gs.Sequential(gs.Linear(64, 32), gs.ReLU(), gs.Linear(32, 10))
    >>> model(np.ones((5, 64))).shape
    (5, 10)
    >>> list(model.state_dict())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    reads_data: ClassVar[bool] = True

    def __init__(self, *layers: Layer, dtype: str = "float32") -> None:
        name = type(self).__name__
        for position, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                item = f"a list; write gs.{name}(*layers)" if isinstance(layer, list | tuple) else f"{layer!r}"
                raise ConfigurationError(f"{name}: item {position} is {item}; expected a layer, such as gs.ReLU()")
        if not layers:
            raise ConfigurationError(f"{name}: no layers given; expected at least one")
        self.layers = layers
        self.astype(dtype)

    def children(self) -> dict[str, Layer]:
        return {str(position): layer for position, layer in enumerate(self.layers)}

    def config(self) -> dict[str, Any]:
        raise NotImplementedError("a Sequential is saved as its layers")

    def _contents(self, depth: int) -> dict[str, Any]:
        return {"layers": [child.describe(depth + 1) for child in self]}

    def lower(self, graph: Graph, x: Value) -> Value:
        return self.trace(graph, x)[-1][2]

    def trace(self, graph: Graph, x: Value) -> list[tuple[str, Layer, Value]]:
        found = []
        for name, layer in self.children().items():
            x = graph.lower(layer, x, name)
            found.append((name, layer, x))
        return found

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, position: int) -> Layer:
        return self.layers[position]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"
