"""L1 penalties on weights (not biases); for L2 penalties use the optimizers' `weight_decay`."""

from __future__ import annotations

from typing import ClassVar

from ...kernels.batches.convert import CONVERT
from ...kernels.updates.l1 import L1_SCALED, L1_SUBGRADIENT, SOFT_THRESHOLD
from ..graph.graph import Graph
from ..values import require_number


class Regularizer:
    """Base class of penalties, which change the gradient, or the weights after the update.

    Parameters
    ----------
    strength : λ, at least 0.

    Raises
    ------
    ConfigurationError
        `strength` is below 0.

    Examples
    --------
    >>> isinstance(gs.SoftThreshold(0.1), gs.Regularizer)
    True
    """

    before_update: ClassVar[bool]

    def __init__(self, strength: float) -> None:
        require_number(self, strength=strength, at_least=0)
        self.strength = strength

    def lower(self, graph: Graph) -> None:
        """Appends its operation to a training step."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.strength})"


class L1(Regularizer):
    """L1 penalty λ Σ |w|: adds the subgradient λ sign w (sign 0 = 0) to the gradient, before any clipping.

    Weights approach 0 without becoming exactly 0; `SoftThreshold` sets them to 0.

    Examples
    --------
    >>> model = gs.Sequential(gs.Linear(64, 10))
    >>> trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=1e-3), regularizer=gs.L1(1e-3), seed=0)
    """

    before_update = True

    def lower(self, graph: Graph) -> None:
        p, g, weights = (graph.shared(name, ()) for name in ("p", "g", "weights"))
        arrays = p, g, graph.shared("bounds", (), "int64"), weights
        if graph.scaled:
            graph.apply(L1_SCALED, (*arrays, graph.shared("loss scale", (3,))), (), strength=self.strength)
        else:
            graph.apply(L1_SUBGRADIENT, arrays, (), strength=self.strength)


class SoftThreshold(Regularizer):
    """L1 penalty λ Σ |w| as a proximal step after each update (Daubechies et al. 2004):
    w ← sign w · max(|w| − lr · λ, 0).

    lr is the current learning rate, including schedule and group. It works with any optimizer. Weights that the
    loss does not need become 0.

    Examples
    --------
    >>> model, loss = gs.Sequential(gs.Linear(64, 10)), gs.CrossEntropyLoss()
    >>> trainer = gs.Trainer(model, loss, gs.Adam(lr=1e-2), regularizer=gs.SoftThreshold(0.1), seed=0)
    >>> history = trainer.fit(x, y, epochs=5, verbose=False)
    >>> bool((model.state_dict()["0.weight"] == 0).any())
    True
    """

    before_update = False

    def lower(self, graph: Graph) -> None:
        p, factors, weights, rates = (graph.shared(name, ()) for name in ("p", "factors", "weights", "learning rates"))
        bounds, counters = graph.shared("bounds", (), "int64"), graph.shared("counters", (), "int64")
        graph.apply(SOFT_THRESHOLD, (p, bounds, factors, weights, rates, counters), (), strength=self.strength)
        if graph.activations != graph.dtype:
            graph.apply(CONVERT, (p,), (graph.shared("copy", (), graph.activations),))
