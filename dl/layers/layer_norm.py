"""Layer normalisation (Ba, Kiros and Hinton 2016)."""

from __future__ import annotations

from ...backends.errors import ShapeError
from ...kernels.norms.layer_norm import LAYER_NORM
from ..graph.graph import Graph, Value
from ..values import require_count, require_number
from .base import Layer
from .initializers import ones, zeros
from .parameter import Parameter


class LayerNorm(Layer):
    """Layer normalisation of each row: y = (x − mean) / √(variance + eps) · weight + bias.

    Parameters
    ----------
    features : number of features of input and output.
    eps : added to the variance; avoids division by 0 in constant rows.

    Raises
    ------
    ConfigurationError
        `features` is not an integer of at least 1, or `eps` is not above 0.

    Examples
    --------
    >>> gs.LayerNorm(2)(np.array([[1.0, 3.0], [10.0, 30.0]])).round(2)
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    def __init__(self, features: int, eps: float = 1e-5) -> None:
        require_count(self, features=features)
        require_number(self, eps=eps, above=0)
        self.features, self.eps = features, eps
        self.weight = Parameter((features,), ones, decay=False)
        self.bias = Parameter((features,), zeros, decay=False)

    def lower(self, graph: Graph, x: Value) -> Value:
        if x.shape != (self.features,):
            raise ShapeError(f"LayerNorm expects {self.features} features a row, but gets rows of shape {x.shape}")
        y, statistics = graph.batch(x.shape), graph.batch((2,), graph.dtype)
        inputs = x, graph.parameter(self.weight), graph.parameter(self.bias)
        graph.apply(LAYER_NORM, inputs, (y, statistics), eps=float(self.eps))
        return y
