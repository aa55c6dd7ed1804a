"""A model as a table: layers, output shapes, parameters, memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..backends.errors import ShapeError

if TYPE_CHECKING:
    from .layers.base import Layer


@dataclass(frozen=True)
class Summary:
    """What `Layer.summary` returns; prints as a table.

    Parameters
    ----------
    rows : (name, layer, output shape without the batch, number of parameters) of each layer.
    parameters : their number, shared ones once.
    bytes : their memory.
    """

    rows: tuple[tuple[str, str, tuple[int, ...], int], ...]
    parameters: int
    bytes: int

    @classmethod
    def of(cls, model: Layer, input_shape: tuple[int, ...] | None) -> Summary:
        """The summary of a model whose input rows have `input_shape`, by default its first layer's width."""
        from .graph import Graph

        graph = Graph(model.dtype, train=True)
        x = graph.batch(input_shape or input_shape_of(model))
        model.parameters()  # gives names
        rows = [
            (name, repr(layer), y.example_shape, sum(p.size for p in layer.parameters()))
            for name, layer, y in model.trace(graph, x)
        ]
        count = sum(parameter.size for parameter in model.parameters())
        return cls(tuple(rows), count, count * np.dtype(model.dtype).itemsize)

    def __str__(self) -> str:
        cells = [("", "layer", "output", "parameters")]
        cells += [(name, text, str(shape), f"{count:,}") for name, text, shape, count in self.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(4)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}" for a, b, c, d in cells]
        total = f"{self.parameters:,} parameters, {self.bytes / 2**20:.2f} MiB; four times as much while Adam trains"
        return "\n".join([*lines, total])

    __repr__ = __str__


def input_shape_of(model: Layer) -> tuple[int, ...]:
    """The shape of an input row that the model's first layer with a width expects."""
    for layer in (model, *model.children().values()):
        width = getattr(layer, "in_features", getattr(layer, "features", 0))
        if width:
            return (width,)
        if width is None:  # any
            break
        if layer is not model and layer.children():
            return input_shape_of(layer)
    raise ShapeError("the width of the input is not known; give summary(input_shape=(…,))")
