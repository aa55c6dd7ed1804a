"""The sampled code of a variational autoencoder (Kingma and Welling 2014)."""

from __future__ import annotations

from ...kernels.penalties.kl_normal import KL_NORMAL
from ...kernels.random.reparameterize import REPARAMETERIZE
from ..graph.graph import Graph, Value
from .base import Layer
from .linear import Linear
from .noise import draw
from .penalties import checked


class Variational(Layer):
    """Sampled code z = μ(x) + e^(ℓ(x)/2) ε (μ(x) in evaluation); adds `weight` · KL(N(μ, e^ℓ) ‖ N(0, 1)) to the loss.

    μ and the log-variance ℓ are linear in x, ε comes from the run's own random stream, and gradients go through both.
    For a loss that is a mean over d outputs, ``weight=1/d`` makes the sum 1/d of the negative evidence lower bound.

    Parameters
    ----------
    in_features, out_features : number of features of input and code.
    weight : of the divergence.
    """

    def __init__(self, in_features: int, out_features: int, weight: float = 1.0) -> None:
        self.in_features, self.out_features, self.weight = in_features, out_features, checked(self, weight)
        self.mean = Linear(in_features, out_features)
        self.log_variance = Linear(in_features, out_features)

    def lower(self, graph: Graph, x: Value) -> Value:
        mean = graph.lower(self.mean, x, "mean")
        if graph.terms is None and not graph.train:
            return mean
        log_variance = graph.lower(self.log_variance, x, "log_variance")
        if graph.terms is not None:
            term = graph.batch((1,), graph.dtype)
            graph.apply(KL_NORMAL, (mean, log_variance), (term,))
            graph.add_term(term, self.weight)
        if not graph.train:
            return mean
        noise, z = graph.batch(mean.shape), graph.batch(mean.shape)
        draw(graph, noise, 1.0)
        graph.apply(REPARAMETERIZE, (mean, log_variance, noise), (z,))
        return z
