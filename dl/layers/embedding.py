"""Token and position embeddings: the first layer of a sequence model."""

from __future__ import annotations

from typing import ClassVar

from ...backends.errors import ConfigurationError, ShapeError
from ...kernels.sequences.embedding import EMBEDDING
from ...kernels.sequences.padding import PADDING
from ...kernels.sequences.positions import POSITIONS
from ..graph.graph import Graph, Value
from ..values import is_count, require_count
from .base import Layer
from .initializers import standard_normal
from .parameter import Parameter


class Embedding(Layer):
    """Token embeddings: a trained vector per token and, if `length` is given, a trained position vector added to it.

    Rows of x are sequences of integers from 0 to num_embeddings − 1. Later layers see each token as one row, (rows ·
    tokens, embedding_dim), so `Linear`, activations and losses apply to each token. Model outputs have shape (rows,
    tokens, …).

    Parameters
    ----------
    num_embeddings : number of different tokens (vocabulary size).
    embedding_dim : features per token.
    length : maximum sequence length, with one trained vector per position; None for no position embeddings.
    padding : the padding token. Attention and pooling ignore it, as with PyTorch's `key_padding_mask`; losses per
        token count it. None for no padding.

    Raises
    ------
    ConfigurationError
        A size is not an integer of at least 1, or `padding` is not a token.

    Examples
    --------
    >>> model = gs.Sequential(gs.Embedding(100, 16, length=8, padding=0), gs.MeanPooling(), gs.Linear(16, 2))
    >>> model(np.array([[5, 7, 2, 0, 0, 0, 0, 0]])).shape  # a sequence of three tokens
    (1, 2)
    """

    reads_data: ClassVar[bool] = True

    def __init__(
        self, num_embeddings: int, embedding_dim: int, length: int | None = None, padding: int | None = None
    ) -> None:
        require_count(self, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if length is not None:
            require_count(self, length=length)
        if padding is not None and not (is_count(padding, 0) and padding < num_embeddings):
            raise ConfigurationError(
                f"Embedding: padding is {padding!r}; expected a token, from 0 to {num_embeddings - 1}, or None"
            )
        self.padding = padding
        self.num_embeddings, self.embedding_dim, self.length = num_embeddings, embedding_dim, length
        self.weight = Parameter((num_embeddings, embedding_dim), standard_normal)
        self.position = None if length is None else Parameter((length, embedding_dim), standard_normal)

    @property
    def in_features(self) -> int | None:
        """The number of features of x, or None for any."""
        return self.length

    def lower(self, graph: Graph, x: Value) -> Value:
        if len(x.shape) != 1 or x.rows_per_example != 1:
            raise ShapeError(f"Embedding expects a row of tokens an example, but gets {x.example_shape}")
        (tokens,) = x.shape
        if self.length is not None and tokens > self.length:
            raise ShapeError(f"Embedding has places for {self.length} tokens, but gets sequences of {tokens}")
        graph.categories[x] = self.num_embeddings
        mask = None
        if self.padding is not None:
            mask = graph.batch((tokens,), graph.dtype)
            graph.apply(PADDING, (x,), (mask,), padding=self.padding)
        y = graph.batch((self.embedding_dim,), rows_per_example=tokens, mask=mask)
        graph.apply(EMBEDDING, (x, graph.parameter(self.weight, graph.activations)), (y,))
        if self.position is None:
            return y
        placed = graph.batch(y.shape, rows_per_example=tokens, mask=mask)
        position = graph.parameter(self.position, graph.activations)
        graph.apply(POSITIONS, (y, position), (placed,), length=tokens)
        return placed
