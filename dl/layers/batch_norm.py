"""Batch normalisation (Ioffe and Szegedy 2015)."""

from __future__ import annotations

from ...backends.errors import ShapeError
from ...kernels.counters import COUNTERS
from ...kernels.norms.batch_norm import BATCH_NORM, BATCH_NORM_FIXED, RUNNING_STATISTICS
from ..graph.graph import Graph, Value
from ..values import require_count, require_number
from .base import Layer
from .initializers import ones, zeros
from .parameter import Parameter


class BatchNorm1d(Layer):
    """Batch normalisation of each feature, as torch.nn.BatchNorm1d: y = weight · (x − μ) / √(σ² + eps) + bias.

    In training, μ and σ² are the batch statistics; running statistics are updated with `momentum` after each step. In
    evaluation, μ and σ² are the running statistics, which are saved with the weights. Weight decay does not apply to
    weight and bias. A batch of one row does not change the running variance.

    Parameters
    ----------
    features : number of input features.
    eps : added to the variance.
    momentum : weight of the batch statistics in the update of the running statistics.

    Raises
    ------
    ConfigurationError
        `features`, `eps` or `momentum` is out of its range.

    Examples
    --------
    >>> model = gs.Sequential(gs.Linear(64, 32, bias=False), gs.BatchNorm1d(32), gs.ReLU(), gs.Linear(32, 10))
    >>> [name for name in model.state_dict() if name.startswith("1.")]
    ['1.weight', '1.bias', '1.running_mean', '1.running_var']
    """

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        require_count(self, features=features)
        require_number(self, eps=eps, above=0)
        require_number(self, momentum=momentum, at_least=0, at_most=1)
        self.features, self.eps, self.momentum = features, eps, momentum
        self.weight = Parameter((features,), ones, decay=False)
        self.bias = Parameter((features,), zeros, decay=False)
        self.running_mean = Parameter((features,), zeros, trained=False)
        self.running_var = Parameter((features,), ones, trained=False)

    def lower(self, graph: Graph, x: Value) -> Value:
        if x.shape != (self.features,):
            raise ShapeError(f"BatchNorm1d expects {self.features} features a row, but gets rows of shape {x.shape}")
        y, inverse = graph.batch(x.shape), graph.fixed(x.shape, "float64")
        weight, bias = graph.parameter(self.weight), graph.parameter(self.bias)
        running = graph.parameter(self.running_mean), graph.parameter(self.running_var)
        if not graph.train:
            graph.apply(BATCH_NORM_FIXED, (x, weight, bias, *running), (y, inverse), eps=self.eps)
            return y
        batch = graph.fixed(x.shape, "float64"), graph.fixed(x.shape, "float64")
        graph.apply(BATCH_NORM, (x, weight, bias), (y, *batch, inverse), eps=self.eps)
        counters = graph.shared("counters", (COUNTERS,), "int64")
        graph.defer(RUNNING_STATISTICS, (x, *batch, *running, counters), momentum=self.momentum)
        return y
