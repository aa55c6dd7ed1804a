"""Pooling over the tokens of a sequence, for sequence classifiers."""

from __future__ import annotations

from typing import ClassVar

from ...backends.errors import ShapeError
from ...kernels.operation import Operation
from ...kernels.sequences.padding import ONES
from ...kernels.sequences.pooling import MAX_POOLING, MEAN_POOLING
from ..graph.graph import Graph, Value
from .base import Layer


class Pooling(Layer, named=False):
    """Base class of the pooling layers."""

    _operation: ClassVar[Operation]

    def lower(self, graph: Graph, x: Value) -> Value:
        y, mask = graph.batch(x.shape, rows_per_example=1), x.mask
        if len(x.shape) != 1 or (x.rows_per_example == 1 and mask is None):
            raise ShapeError(f"{type(self).__name__} expects sequences of tokens, but gets rows of {x.example_shape}")
        if mask is None:
            mask = graph.batch((x.rows_per_example,), graph.dtype, rows_per_example=1)
            graph.apply(ONES, (), (mask,))
        graph.apply(self._operation, (x, mask), (y,))
        return y


class MeanPooling(Pooling):
    """Mean over the tokens of a sequence, (rows · tokens, n) to (rows, n); ignores padding (see `Embedding`).

    Examples
    --------
    >>> model = gs.Sequential(gs.Embedding(100, 16), gs.MeanPooling(), gs.Linear(16, 2))
    >>> model(np.zeros((5, 8), dtype=int)).shape  # a row for each sequence of 8 tokens
    (5, 2)
    """

    _operation = MEAN_POOLING


class MaxPooling(Pooling):
    """Maximum of each feature over the tokens of a sequence, (rows · tokens, n) to (rows, n); ignores padding.

    Examples
    --------
    >>> model = gs.Sequential(gs.Embedding(100, 16), gs.MaxPooling(), gs.Linear(16, 2))
    >>> model(np.zeros((5, 8), dtype=int)).shape  # a row for each sequence of 8 tokens
    (5, 2)
    """

    _operation = MAX_POOLING
