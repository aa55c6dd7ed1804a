"""Multi-head self-attention (Vaswani et al. 2017)."""

from __future__ import annotations

import math

from ...backends.errors import ConfigurationError, ShapeError
from ...kernels.arrays.matmul import MATMUL
from ...kernels.sequences.heads import MERGE_HEADS, SPLIT_HEADS
from ...kernels.sequences.masked_softmax import MASKED_SOFTMAX
from ...kernels.sequences.softmax import SOFTMAX
from ..graph.graph import Graph, Value
from ..values import is_count
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
    """

    def __init__(self, features: int, heads: int, causal: bool = False, dropout: float = 0.0) -> None:
        for name, value in (("features", features), ("heads", heads)):
            if not is_count(value):
                raise ConfigurationError(f"MultiHeadAttention: {name} is {value!r}; expected an integer above 0")
        if features % heads:
            raise ConfigurationError(f"MultiHeadAttention: features is {features}; expected a multiple of {heads}")
        self.features, self.heads, self.causal, self.dropout = features, heads, bool(causal), dropout
        self.query, self.key, self.value = (Linear(features, features) for _ in range(3))
        self.weights = Dropout(dropout)
        self.output = Linear(features, features)

    def lower(self, graph: Graph, x: Value) -> Value:
        if x.shape != (self.features,):
            raise ShapeError(f"MultiHeadAttention expects {self.features} features, but gets rows of shape {x.shape}")
        length, width = x.rows_per_example, self.features // self.heads

        def head(layer: Linear, name: str) -> Value:
            heads = graph.batch((length, width), rows_per_example=self.heads)
            graph.apply(SPLIT_HEADS, (graph.lower(layer, x, name),), (heads,))
            return heads

        q, k, v = head(self.query, "query"), head(self.key, "key"), head(self.value, "value")
        scores, p = (graph.batch((length, length), rows_per_example=self.heads) for _ in range(2))
        graph.apply(MATMUL, (q, k), (scores,), transpose_a=0, transpose_b=1)
        seen = {"scale": 1 / math.sqrt(width), "causal": int(self.causal)}
        if x.mask is None:
            graph.apply(SOFTMAX, (scores,), (p,), **seen)
        else:
            graph.apply(MASKED_SOFTMAX, (scores, x.mask), (p,), **seen)
        p = graph.lower(self.weights, p, "weights")
        taken, joined = graph.batch((length, width), rows_per_example=self.heads), graph.batch(x.shape)
        graph.apply(MATMUL, (p, v), (taken,), transpose_a=0, transpose_b=0)
        graph.apply(MERGE_HEADS, (taken,), (joined,))
        return graph.lower(self.output, joined, "output")
