"""Dropout (Srivastava et al. 2014)."""

from __future__ import annotations

from ...kernels.counters import COUNTERS
from ...kernels.random.dropout import DROPOUT
from ..graph.graph import Graph, Value
from ..values import require_number
from .base import Layer


class Dropout(Layer):
    """In training, sets each element to 0 with probability `p` and divides the others by 1 − p; otherwise the identity.

    Parameters
    ----------
    p : probability, from 0 to below 1.

    Raises
    ------
    ConfigurationError
        `p` is out of its range.

    Examples
    --------
    >>> gs.Dropout(0.5)(np.array([[1.0, 2.0]]))  # only training drops anything
    array([[1., 2.]], dtype=float32)
    """

    def __init__(self, p: float = 0.5) -> None:
        require_number(self, p=p, at_least=0, below=1)
        self.p = p

    def lower(self, graph: Graph, x: Value) -> Value:
        if not graph.train or self.p == 0:
            return x
        y = graph.batch(x.shape)
        key, counters = graph.shared("key", (2,), "uint32"), graph.shared("counters", (COUNTERS,), "int64")
        graph.apply(
            DROPOUT,
            (x, key, counters),
            (y,),
            threshold=round(self.p * 2**32),
            scale=1 / (1 - self.p),
            stream=graph.next_dropout(),
            width=x.example_size,
        )
        return y
