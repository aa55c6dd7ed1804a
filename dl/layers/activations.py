"""Activation layers (element-wise functions)."""

from __future__ import annotations

from typing import ClassVar

from ...backends.errors import ShapeError
from ...kernels.activations.activation import ACTIVATION, RELU, SIGMOID, TANH
from ...kernels.activations.gelu import GELU as GELU_OPERATION
from ...kernels.activations.maxout import MAXOUT
from ...kernels.activations.softplus import SOFTPLUS
from ...kernels.operation import Operation
from ..graph.graph import Graph, Value
from ..values import require_count
from .array_layer import ArrayLayer
from .base import Layer


class Activation(ArrayLayer, named=False):
    """Base class of activations: y = f(x), element-wise. Configurations use the lower-case class name.

    A custom activation defines ``forward(xp, x)`` and ``backward(xp, dy, x, y)``, as any `ArrayLayer`, or `lower`.

    Examples
    --------
    >>> class Squared(gs.Activation):
    ...     def forward(self, xp, x):
    ...         return x * x
    >>> Squared()(np.array([[-2.0, 3.0]]))
    array([[4., 9.]], dtype=float32)
    """

    initializer: ClassVar[str] = "glorot"
    """Recommended initializer of the weights before it: ``"glorot"`` or ``"he"``."""


class _OfKernels(Activation, named=False):
    """An activation with an operation of its own; those of `ACTIVATION` can be fused with the operation before it."""

    operation: ClassVar[Operation] = ACTIVATION
    number: ClassVar[int | None] = None

    def lower(self, graph: Graph, x: Value) -> Value:
        y = graph.batch(x.shape)
        graph.apply(self.operation, (x,), (y,), **({} if self.number is None else {"activation": self.number}))
        return y


class ReLU(_OfKernels):
    """max(x, 0).

    Examples
    --------
    >>> gs.ReLU()(np.array([[-1.0, 2.0]]))
    array([[0., 2.]], dtype=float32)
    """

    number = RELU
    initializer = "he"


class Tanh(_OfKernels):
    """tanh x.

    Examples
    --------
    >>> gs.Tanh()(np.array([[-1.0, 0.0, 1.0]])).round(3)
    array([[-0.762,  0.   ,  0.762]], dtype=float32)
    """

    number = TANH


class Sigmoid(_OfKernels):
    """1 / (1 + e⁻ˣ).

    Examples
    --------
    >>> gs.Sigmoid()(np.array([[-1.0, 0.0, 1.0]])).round(3)
    array([[0.269, 0.5  , 0.731]], dtype=float32)
    """

    number = SIGMOID


class GELU(_OfKernels):
    """x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2: torch's GELU(approximate="tanh") (Hendrycks and Gimpel 2016).

    Examples
    --------
    >>> gs.GELU()(np.array([[-1.0, 0.0, 1.0]])).round(3)
    array([[-0.159,  0.   ,  0.841]], dtype=float32)
    """

    operation = GELU_OPERATION


class Softplus(_OfKernels):
    """log(1 + eˣ), a smooth ReLU (Dugas et al. 2001).

    Examples
    --------
    >>> gs.Softplus()(np.array([[-1.0, 0.0, 1.0]])).round(3)
    array([[0.313, 0.693, 1.313]], dtype=float32)
    """

    operation = SOFTPLUS


class Maxout(Activation):
    """Maximum over each `pieces` neighbouring inputs (Goodfellow et al. 2013): (rows, n · pieces) to (rows, n).

    After ``Linear(m, n * pieces)`` each of the n units is the maximum of `pieces` linear functions.

    Raises
    ------
    ConfigurationError
        `pieces` is not an integer of at least 1.

    Examples
    --------
    >>> gs.Maxout(pieces=2)(np.array([[1.0, 5.0, -3.0, -4.0]]))
    array([[ 5., -3.]], dtype=float32)
    """

    def __init__(self, pieces: int = 2) -> None:
        require_count(self, pieces=pieces)
        self.pieces = pieces

    def lower(self, graph: Graph, x: Value) -> Value:
        if len(x.shape) != 1 or x.shape[0] % self.pieces:
            raise ShapeError(f"Maxout expects a multiple of {self.pieces} features a row, but gets rows of {x.shape}")
        y = graph.batch((x.shape[0] // self.pieces,))
        graph.apply(MAXOUT, (x,), (y,))
        return y


def activations() -> dict[str, type[Activation]]:
    """All activations, by their name in configurations (the lower-case class name)."""
    return {name.lower(): kind for name, kind in Layer.registered.items() if issubclass(kind, Activation)}
