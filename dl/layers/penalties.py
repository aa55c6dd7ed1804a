"""Layers that add a penalty on a code to the loss. The penalty does not change their output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...backends.errors import ConfigurationError
from ...kernels.activations.activation import ACTIVATION, RELU, SIGMOID, TANH
from ...kernels.arrays.column_moment import COLUMN_MOMENT
from ...kernels.tracing import xp
from ..graph.graph import Graph, Value
from ..values import require_number
from .base import Layer
from .linear import Linear
from .traced import append

ACTIVATIONS = {"relu": RELU, "tanh": TANH, "sigmoid": SIGMOID}
SLOPES: dict[str, Callable[[Any], Any]] = {
    "relu": lambda h: xp.where(h > 0.0, 1.0, 0.0),
    "tanh": lambda h: 1.0 - h * h,
    "sigmoid": lambda h: h * (1.0 - h),
}
"""The derivative of each, as a function of its output."""


class L1Activity(Layer):
    """y = x; adds `weight` · Σⱼ |xⱼ|, averaged over the batch, to the loss: it makes many elements small.

    Examples
    --------
    >>> code = np.array([[1.0, -2.0]])
    >>> loss, _ = gs.value_and_grad(gs.L1Activity(weight=0.1), gs.MSELoss(), code, code)  # the error is 0
    >>> round(loss, 3)
    0.3
    """

    def __init__(self, weight: float = 1e-3) -> None:
        require_number(self, weight=weight, at_least=0)
        self.weight = weight

    def lower(self, graph: Graph, x: Value) -> Value:
        if graph.terms is not None:
            term = graph.batch((1,), graph.dtype)
            append(graph, "L1Activity", lambda x: xp.abs(x).sum(axis=-1, keepdims=True), (x,), term)
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

    Examples
    --------
    >>> encoder = gs.Sequential(gs.Linear(64, 32), gs.Sigmoid(), gs.KLSparsity(weight=1e-2, rate=0.05))
    >>> trainer = gs.Trainer(gs.Sequential(encoder, gs.Linear(32, 64)), gs.MSELoss(), gs.Adam(lr=1e-3), seed=0)
    >>> history = trainer.fit(x, x, epochs=1, verbose=False)
    """

    def __init__(self, weight: float = 1e-3, rate: float = 0.05) -> None:
        require_number(self, weight=weight, at_least=0)
        require_number(self, rate=rate, above=0, below=1)
        self.weight, self.rate = weight, rate

    def lower(self, graph: Graph, x: Value) -> Value:
        if graph.terms is not None:
            mean, term = graph.fixed(x.shape, graph.dtype), graph.fixed((1,), graph.dtype)
            graph.apply(COLUMN_MOMENT, (x,), (mean,), power=1)
            append(graph, "KLSparsity", self._divergence, (mean,), term)
            graph.add_term(term, self.weight)
        return x

    def _divergence(self, mean: Any) -> Any:
        """Σⱼ ρ log(ρ / mⱼ) + (1 − ρ) log((1 − ρ) / (1 − mⱼ)): the divergence of two Bernoulli distributions."""
        rho = float(self.rate)
        parts = rho * xp.log(rho / mean) + (1 - rho) * xp.log((1 - rho) / (1.0 - mean))
        return parts.sum(axis=-1, keepdims=True)


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

    Examples
    --------
    >>> model = gs.Sequential(gs.Contractive(64, 16, weight=1e-2), gs.Linear(16, 64))
    >>> trainer = gs.Trainer(model, gs.MSELoss(), gs.Adam(lr=1e-3), seed=0)
    >>> history = trainer.fit(x, x, epochs=1, verbose=False)
    """

    def __init__(self, in_features: int, out_features: int, activation: str = "sigmoid", weight: float = 1e-3) -> None:
        if activation not in ACTIVATIONS:
            raise ConfigurationError(
                f"Contractive: activation is {activation!r}; expected one of: {', '.join(ACTIVATIONS)}"
            )
        self.in_features, self.out_features = in_features, out_features
        require_number(self, weight=weight, at_least=0)
        self.activation, self.weight = activation, weight
        self.linear = Linear(in_features, out_features, init="he" if activation == "relu" else "glorot")

    def lower(self, graph: Graph, x: Value) -> Value:
        number = ACTIVATIONS[self.activation]
        h = graph.batch((self.out_features,))
        graph.apply(ACTIVATION, (graph.lower(self.linear, x, "linear"),), (h,), activation=number)
        if graph.terms is not None:
            squares, term = graph.fixed((self.out_features,), graph.dtype), graph.batch((1,), graph.dtype)
            graph.apply(COLUMN_MOMENT, (graph.parameter(self.linear.weight),), (squares,), power=2)
            append(graph, "Contractive", self._norm, (h, squares), term)
            graph.add_term(term, self.weight * self.in_features)  # the moment is a mean, the norm a sum
        return h

    def _norm(self, h: Any, c: Any) -> Any:
        """Σⱼ f'ⱼ² cⱼ with cⱼ = Σᵢ Wᵢⱼ², since ∂hⱼ / ∂xᵢ = f'ⱼ Wᵢⱼ; f' is a function of h."""
        slope = SLOPES[self.activation](h)
        return (slope * slope * c).sum(axis=-1, keepdims=True)
