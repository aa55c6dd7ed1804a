"""The sampled code of a variational autoencoder (Kingma and Welling 2014)."""

from __future__ import annotations

from typing import Any

from ...kernels.tracing import xp
from ..graph.graph import Graph, Value
from ..values import require_number
from .base import Layer
from .linear import Linear
from .noise import draw
from .traced import append


class Variational(Layer):
    """Sampled code z = μ(x) + e^(ℓ(x)/2) ε (μ(x) in evaluation); adds `weight` · KL(N(μ, e^ℓ) ‖ N(0, 1)) to the loss.

    μ and the log-variance ℓ are linear in x, ε comes from the run's own random stream, and gradients go through both.
    For a loss that is a mean over d outputs, ``weight=1/d`` makes the sum 1/d of the negative evidence lower bound.

    Parameters
    ----------
    in_features, out_features : number of features of input and code.
    weight : of the divergence.

    Examples
    --------
    >>> model = gs.Sequential(gs.Linear(64, 32), gs.ReLU(), gs.Variational(32, 2, weight=1 / 64), gs.Linear(2, 64))
    >>> trainer = gs.Trainer(model, gs.MSELoss(), gs.Adam(lr=1e-3), seed=0)
    >>> history = trainer.fit(x, x, epochs=1, verbose=False)
    """

    def __init__(self, in_features: int, out_features: int, weight: float = 1.0) -> None:
        require_number(self, weight=weight, at_least=0)
        self.in_features, self.out_features, self.weight = in_features, out_features, weight
        self.mean = Linear(in_features, out_features)
        self.log_variance = Linear(in_features, out_features)

    def lower(self, graph: Graph, x: Value) -> Value:
        mean = graph.lower(self.mean, x, "mean")
        if graph.terms is None and not graph.train:
            return mean
        log_variance = graph.lower(self.log_variance, x, "log_variance")
        if graph.terms is not None:
            term = graph.batch((1,), graph.dtype)
            append(graph, "Variational", divergence, (mean, log_variance), term)
            graph.add_term(term, self.weight)
        if not graph.train:
            return mean
        noise, z = graph.batch(mean.shape), graph.batch(mean.shape)
        draw(graph, noise, 1.0)
        append(graph, "Variational_sample", sample, (mean, log_variance, noise), z)
        return z


def divergence(mean: Any, log_variance: Any) -> Any:
    """KL(N(μ, e^ℓ) ‖ N(0, 1)) = ½ Σ (μ² + e^ℓ − 1 − ℓ), a number a row (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mean * mean + (xp.expm1(log_variance) - log_variance)).sum(axis=-1, keepdims=True)


def sample(mean: Any, log_variance: Any, noise: Any) -> Any:
    """z = μ + e^(ℓ/2) ε, through which gradients go (the reparameterization trick)."""
    return mean + xp.exp(0.5 * log_variance) * noise
