"""Layers that add noise in training, for denoising autoencoders (Vincent et al. 2010)."""

from __future__ import annotations

from ...kernels.arrays.add import ADD
from ...kernels.counters import COUNTERS
from ...kernels.random.dropout import DROPOUT
from ...kernels.random.normal import NORMAL
from ..graph.graph import Graph, Value
from ..values import require_number
from .base import Layer


class GaussianNoise(Layer):
    """In training, adds normal noise with standard deviation `deviation` to each element; otherwise the identity.

    Raises
    ------
    ConfigurationError
        `deviation` is not a number of at least 0.

    Examples
    --------
    >>> model = gs.Sequential(gs.GaussianNoise(0.1), gs.Linear(64, 8), gs.ReLU(), gs.Linear(8, 64))
    >>> trainer = gs.Trainer(model, gs.MSELoss(), gs.Adam(lr=1e-3), seed=0)
    >>> history = trainer.fit(x, x, epochs=1, verbose=False)  # from noisy rows to clean ones
    """

    def __init__(self, deviation: float = 0.1) -> None:
        require_number(self, deviation=deviation, at_least=0)
        self.deviation = deviation

    def lower(self, graph: Graph, x: Value) -> Value:
        if not graph.train or self.deviation == 0:
            return x
        noise, y = graph.batch(x.shape), graph.batch(x.shape)
        draw(graph, noise, self.deviation)
        graph.apply(ADD, (x, noise), (y,))
        return y


class MaskingNoise(Layer):
    """In training, sets each element to 0 with probability `p`; unlike in dropout, the others are not scaled.

    Raises
    ------
    ConfigurationError
        `p` is not a probability below 1.

    Examples
    --------
    >>> model = gs.Sequential(gs.MaskingNoise(0.3), gs.Linear(64, 8), gs.ReLU(), gs.Linear(8, 64))
    >>> trainer = gs.Trainer(model, gs.MSELoss(), gs.Adam(lr=1e-3), seed=0)
    >>> history = trainer.fit(x, x, epochs=1, verbose=False)  # from rows with gaps to whole ones
    """

    def __init__(self, p: float = 0.3) -> None:
        require_number(self, p=p, at_least=0, below=1)
        self.p = p

    def lower(self, graph: Graph, x: Value) -> Value:
        if not graph.train or self.p == 0:
            return x
        y = graph.batch(x.shape)
        stream = graph.next_dropout()
        attributes = {"threshold": round(self.p * 2**32), "scale": 1.0, "stream": stream, "width": x.example_size}
        graph.apply(DROPOUT, (x, *_stream(graph)), (y,), **attributes)
        return y


def draw(graph: Graph, noise: Value, deviation: float) -> None:
    """Appends an operation that fills `noise` with normal numbers from the layer's own random stream."""
    attributes = {"deviation": float(deviation), "stream": graph.next_dropout(), "width": noise.example_size}
    graph.apply(NORMAL, _stream(graph), (noise,), **attributes)


def _stream(graph: Graph) -> tuple[Value, Value]:
    """The run's random key and counters, which determine the random numbers."""
    return graph.shared("key", (2,), "uint32"), graph.shared("counters", (COUNTERS,), "int64")
