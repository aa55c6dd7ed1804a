"""Residual connections (He et al. 2016) and the transformer block."""

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
    """Residual connection: y = x + f(x), where f applies `layers` in order and keeps the shape.

    Examples
    --------
    >>> layer = gs.Residual(gs.Tanh())
    >>> layer(np.array([[0.0, 10.0]]))
    array([[ 0., 11.]], dtype=float32)
    """

    reads_data: ClassVar[bool] = False

    def lower(self, graph: Graph, x: Value) -> Value:
        change = super().trace(graph, x)[-1][2]
        if change.example_shape != x.example_shape:
            raise ShapeError(
                f"Residual: its layers return {change.example_shape} for {x.example_shape}; they must keep the shape"
            )
        y = graph.batch(x.shape)
        graph.apply(ADD, (x, change), (y,))
        return y

    def trace(self, graph: Graph, x: Value) -> list[tuple[str, Layer, Value]]:
        return Layer.trace(self, graph, x)


class TransformerBlock(Layer):
    """Pre-norm transformer block: residual attention, then a residual MLP per token (Radford et al. 2019).

    Parameters
    ----------
    features : features per token, of input and output; a multiple of `heads`.
    heads : number of attention heads.
    hidden : size of the MLP's hidden layer; None for four times `features`.
    causal : whether a token attends only to itself and to earlier tokens.
    dropout : dropout probability of the attention weights and of the outputs of attention and MLP.

    Examples
    --------
    >>> blocks = [gs.TransformerBlock(64, heads=4) for _ in range(2)]
    >>> model = gs.Sequential(gs.Embedding(100, 64, length=50), *blocks, gs.Linear(64, 100))
    >>> model(np.zeros((2, 50), dtype=int)).shape  # a logit for each token that may come next
    (2, 50, 100)
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
