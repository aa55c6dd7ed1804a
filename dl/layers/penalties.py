"""Layers that add a penalty on a code to the loss. The penalty does not change their output."""

from __future__ import annotations

from typing import Any

from ...backends.errors import ConfigurationError
from ...kernels.activations.activation import ACTIVATION, RELU, SIGMOID, TANH
from ...kernels.penalties.absolute_sum import ABSOLUTE_SUM
from ...kernels.penalties.column_moment import COLUMN_MOMENT
from ...kernels.penalties.contraction import CONTRACTION
from ...kernels.penalties.sparsity import SPARSITY
from ..graph.graph import Graph, Value
from .base import Layer
from .linear import Linear

ACTIVATIONS = {"relu": RELU, "tanh": TANH, "sigmoid": SIGMOID}


class L1Activity(Layer):
    """y = x; adds `weight` · Σⱼ |xⱼ|, averaged over the batch, to the loss: it makes many elements small."""

    def __init__(self, weight: float = 1e-3) -> None:
        self.weight = checked(self, weight)

    def lower(self, graph: Graph, x: Value) -> Value:
        if graph.terms is not None:
            term = graph.batch((1,), graph.dtype)
            graph.apply(ABSOLUTE_SUM, (x,), (term,))
            graph.add_term(term, self.weight)
        return x


class KLSparsity(Layer):
    """y = x; adds `weight` · Σⱼ KL(ρ ‖ mⱼ) to the loss, with mⱼ the batch's mean of unit j (Ng 2011).

    The mean activation of each unit is drawn towards ρ. Activations must lie between 0 and 1, as those of `Sigmoid`;
    if a mean does not, the loss is not finite.

    Raises
    ------
    ConfigurationError
        `weight` is below 0, or `rate` not between 0 and 1.
    """

    def __init__(self, weight: float = 1e-3, rate: float = 0.05) -> None:
        self.weight, self.rate = checked(self, weight), rate
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1:
            raise ConfigurationError(f"KLSparsity: rate is {rate!r}; expected a number between 0 and 1")

    def lower(self, graph: Graph, x: Value) -> Value:
        if graph.terms is not None:
            mean, term = graph.fixed(x.shape, graph.dtype), graph.fixed((1,), graph.dtype)
            graph.apply(COLUMN_MOMENT, (x,), (mean,), power=1)
            graph.apply(SPARSITY, (mean,), (term,), rate=float(self.rate))
            graph.add_term(term, self.weight)
        return x


class Contractive(Layer):
    """h = f(x·W + b); adds `weight` · ‖∂h/∂x‖², the squared Frobenius norm, to the loss (Rifai et al. 2011).

    Parameters
    ----------
    in_features, out_features : number of input and output features.
    activation : f, ``"sigmoid"``, ``"tanh"`` or ``"relu"``.
    weight : of the penalty.

    Raises
    ------
    ConfigurationError
        The activation is not one of these, or `weight` is below 0.
    """

    def __init__(self, in_features: int, out_features: int, activation: str = "sigmoid", weight: float = 1e-3) -> None:
        if activation not in ACTIVATIONS:
            raise ConfigurationError(
                f"Contractive: activation is {activation!r}; expected one of: {', '.join(ACTIVATIONS)}"
            )
        self.in_features, self.out_features = in_features, out_features
        self.activation, self.weight = activation, checked(self, weight)
        self.linear = Linear(in_features, out_features, init="he" if activation == "relu" else "glorot")

    def lower(self, graph: Graph, x: Value) -> Value:
        number = ACTIVATIONS[self.activation]
        h = graph.batch((self.out_features,))
        graph.apply(ACTIVATION, (graph.lower(self.linear, x, "linear"),), (h,), activation=number)
        if graph.terms is not None:
            squares, term = graph.fixed((self.out_features,), graph.dtype), graph.batch((1,), graph.dtype)
            graph.apply(COLUMN_MOMENT, (graph.parameter(self.linear.weight),), (squares,), power=2)
            graph.apply(CONTRACTION, (h, squares), (term,), activation=number)
            graph.add_term(term, self.weight * self.in_features)  # the moment is a mean, the norm a sum
        return h


def checked(layer: Any, weight: Any) -> float:
    """The weight of a loss term, checked to be a number of at least 0."""
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight >= 0:
        raise ConfigurationError(f"{type(layer).__name__}: weight is {weight!r}; expected a number of at least 0")
    return weight
