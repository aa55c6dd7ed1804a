"""Multi-head attention: of a sequence to itself, or to another one (Vaswani et al. 2017)."""

from __future__ import annotations

import math

from ...backends.errors import ConfigurationError, ShapeError
from ...kernels.arrays.matmul import MATMUL
from ...kernels.sequences.heads import MERGE_HEADS, SPLIT_HEADS
from ...kernels.sequences.masked_softmax import MASKED_SOFTMAX
from ...kernels.sequences.softmax import SOFTMAX
from ..graph.graph import Graph, Value
from ..values import require_count
from .base import Layer
from .dropout import Dropout
from .linear import Linear


class MultiHeadAttention(Layer):
    """Multi-head self-attention: softmax(Q·Kᵀ / √d)·V in each head, followed by a linear projection.

    Q, K and V are `Linear` layers of the same tokens; each head uses d = features / heads of their columns. Padding
    tokens (see `Embedding`) are not attended to.

    Parameters
    ----------
    features : features per token, of input and output; a multiple of `heads`.
    heads : number of heads.
    causal : whether a token attends only to itself and to earlier tokens.
    dropout : probability of setting an attention weight to 0 in training.

    Raises
    ------
    ConfigurationError
        `features` is not a multiple of `heads`, or an argument is out of its range.

    Examples
    --------
    >>> model = gs.Sequential(gs.Embedding(100, 64, length=50), gs.MultiHeadAttention(64, heads=4, causal=True))
    >>> model(np.zeros((2, 50), dtype=int)).shape  # rows, tokens, features
    (2, 50, 64)
    """

    def __init__(self, features: int, heads: int, causal: bool = False, dropout: float = 0.0) -> None:
        require_count(self, features=features, heads=heads)
        if features % heads:
            raise ConfigurationError(f"{type(self).__name__}: features is {features}; expected a multiple of {heads}")
        self.features, self.heads, self.causal, self.dropout = features, heads, bool(causal), dropout
        self.query, self.key, self.value = (Linear(features, features) for _ in range(3))
        self.weights = Dropout(dropout)
        self.output = Linear(features, features)

    def lower(self, graph: Graph, x: Value) -> Value:
        return self._attend(graph, x, x)

    def _attend(self, graph: Graph, x: Value, read: Value) -> Value:
        """The tokens of x attend to those of `read`."""
        for value in (x, read):
            if value.shape != (self.features,):
                raise ShapeError(
                    f"{type(self).__name__} expects {self.features} features, but gets rows of shape {value.shape}"
                )
        length, width = x.rows_per_example, self.features // self.heads

        def head(layer: Linear, tokens: Value, name: str) -> Value:
            heads = graph.batch((tokens.rows_per_example, width), rows_per_example=self.heads)
            graph.apply(SPLIT_HEADS, (graph.lower(layer, tokens, name),), (heads,))
            return heads

        q, k, v = head(self.query, x, "query"), head(self.key, read, "key"), head(self.value, read, "value")
        scores, p = (graph.batch((length, read.rows_per_example), rows_per_example=self.heads) for _ in range(2))
        graph.apply(MATMUL, (q, k), (scores,), transpose_a=0, transpose_b=1)
        seen = {"scale": 1 / math.sqrt(width), "causal": int(self.causal)}
        if read.mask is None:
            graph.apply(SOFTMAX, (scores,), (p,), **seen)
        else:
            graph.apply(MASKED_SOFTMAX, (scores, read.mask), (p,), **seen)
        p = graph.lower(self.weights, p, "weights")
        taken, joined = graph.batch((length, width), rows_per_example=self.heads), graph.batch(x.shape)
        graph.apply(MATMUL, (p, v), (taken,), transpose_a=0, transpose_b=0)
        graph.apply(MERGE_HEADS, (taken,), (joined,))
        return graph.lower(self.output, joined, "output")


class CrossAttention(MultiHeadAttention):
    """Multi-head attention of one sequence to another: ``gs.CrossAttention(64, 4)(x, memory)``.

    Q is a `Linear` layer of the tokens of x, K and V are of those of `memory`, which may be of another number. Padding
    tokens of `memory` are not attended to. The output has a token for each of x.

    Parameters
    ----------
    features : features per token, of both inputs and of the output; a multiple of `heads`.
    heads : number of heads.
    dropout : probability of setting an attention weight to 0 in training.

    Raises
    ------
    ConfigurationError
        `features` is not a multiple of `heads`, or an argument is out of its range.

    Examples
    --------
    >>> question, text = gs.Input(8), gs.Input(50)
    >>> x, memory = gs.Embedding(100, 64, 8)(question), gs.Embedding(100, 64, 50)(text)
    >>> read = gs.Add()(x, gs.CrossAttention(64, 4)(x, memory))
    >>> model = gs.Model([question, text], gs.Linear(64, 100)(read))
    """

    joins = 2

    def __init__(self, features: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__(features, heads, causal=False, dropout=dropout)

    def lower(self, graph: Graph, x: tuple[Value, Value]) -> Value:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._attend(graph, *x)
