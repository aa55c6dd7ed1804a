"""Residual connections (He et al. 2016), and the transformer's block that is made of two."""

from __future__ import annotations

from typing import ClassVar

from ...backends.errors import ShapeError
from ...kernels.arrays.add import ADD
from ..graph.graph import Graph, Value
from .activations import GELU
from .attention import MultiHeadAttention
from .base import Layer
from .dropout import Dropout
from .layer_norm import LayerNorm
from .linear import Linear
from .sequential import Sequential


class Residual(Sequential):
    """y = x + f(x), where f applies `layers` in order; f keeps the shape."""

    reads_data: ClassVar[bool] = False

    def lower(self, graph: Graph, x: Value) -> Value:
        change = super().trace(graph, x)[-1][2]
        if change.example_shape != x.example_shape:
            raise ShapeError(f"Residual: the layers make {change.example_shape} of {x.example_shape}")
        y = graph.batch(x.shape)
        graph.apply(ADD, (x, change), (y,))
        return y

    def trace(self, graph: Graph, x: Value) -> list[tuple[str, Layer, Value]]:
        return Layer.trace(self, graph, x)


class TransformerBlock(Layer):
    """Attention, then a perceptron for each token, each a residual of what is normalised first (Radford et al. 2019).

    Parameters
    ----------
    features : width of a token, in and out; a multiple of `heads`.
    heads : of attention.
    hidden : width of the perceptron's hidden layer; None is four times `features`.
    causal : whether a token looks at itself and at tokens before it alone.
    dropout : probability with which weights of attention, and the two changes to a token, are set to 0 in training.
    """

    def __init__(
        self, features: int, heads: int, hidden: int | None = None, causal: bool = True, dropout: float = 0.0
    ) -> None:
        self.features, self.heads, self.causal, self.dropout = features, heads, causal, dropout
        self.hidden = 4 * features if hidden is None else hidden
        self.attention = Residual(
            LayerNorm(features), MultiHeadAttention(features, heads, causal, dropout), Dropout(dropout)
        )
        self.perceptron = Residual(
            LayerNorm(features), Linear(features, self.hidden), GELU(), Linear(self.hidden, features), Dropout(dropout)
        )

    def lower(self, graph: Graph, x: Value) -> Value:
        return graph.lower(self.perceptron, graph.lower(self.attention, x, "attention"), "perceptron")
