"""The fully connected (dense) layer."""

from __future__ import annotations

from typing import Any

from ...backends.errors import ShapeError
from ...kernels.activations.activation import IDENTITY
from ...kernels.activations.bias_activation import BIAS_ACTIVATION
from ...kernels.arrays.matmul import MATMUL
from ..graph.graph import Graph, Value
from ..values import require_count
from .base import Layer
from .initializers import Init, named, spelled, zeros
from .parameter import Parameter


class Linear(Layer):
    """Fully connected layer: y = x·W + b, with W (in_features, out_features) and b (out_features,).

    Parameters
    ----------
    in_features, out_features : number of input and output features.
    bias : whether to add b; it starts at 0, and weight decay does not apply to it.
    init : initializer of W: ``"glorot"`` (uniform), ``"he"`` (normal, for ReLU), ``"gaussian"`` (normal, std 0.01)
        or ``"uniform"`` (±1 / √in_features); with numbers, `gearshift.initializers.Normal` and `Uniform` or
        ``"normal(0, 0.02)"``; or a function of a NumPy generator and the shape, which is not saved with the model.

    Raises
    ------
    ConfigurationError
        A width is not an integer of at least 1, or `init` is not a known name.

    Examples
    --------
    >>> layer = gs.Linear(2, 1)
    >>> missing = layer.load_state_dict({"weight": [[1.0], [2.0]], "bias": [0.5]})
    >>> layer(np.array([[3.0, 4.0]]))
    array([[11.5]], dtype=float32)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, init: Init = "glorot") -> None:
        require_count(self, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features, self.init_name = in_features, out_features, spelled(init)
        self.weight = Parameter((in_features, out_features), named(init))
        self.bias = Parameter((out_features,), zeros, decay=False) if bias else None

    def config(self) -> dict[str, Any]:
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias is not None,
            "init": self.init_name,
        }

    def lower(self, graph: Graph, x: Value) -> Value:
        if x.shape != (self.in_features,):
            raise ShapeError(f"Linear expects {self.in_features} features a row, but gets rows of shape {x.shape}")
        z = graph.batch((self.out_features,))
        weight = graph.parameter(self.weight, graph.activations)
        graph.apply(MATMUL, (x, weight), (z,), transpose_a=0, transpose_b=0)
        if self.bias is None:
            return z
        y = graph.batch((self.out_features,))
        bias = graph.parameter(self.bias, graph.activations)
        graph.apply(BIAS_ACTIVATION, (z, bias), (y,), activation=IDENTITY)
        return y
