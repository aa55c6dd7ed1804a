"""Activation layers, element by element."""

from __future__ import annotations

from typing import ClassVar

from ...backends.errors import ConfigurationError, ShapeError
from ...kernels.activation import ACTIVATION, IDENTITY, RELU, SIGMOID, TANH
from ...kernels.gelu import GELU as GELU_OPERATION
from ...kernels.maxout import MAXOUT
from ...kernels.softplus import SOFTPLUS
from ..graph import Graph, Value
from .base import Layer


class Activation(Layer):
    """Base of the activation layers: y = f(x), of x's shape."""

    activation: ClassVar[int] = IDENTITY

    def lower(self, graph: Graph, x: Value) -> Value:
        y = graph.batch(x.shape)
        graph.apply(ACTIVATION, (x,), (y,), activation=self.activation)
        return y


class ReLU(Activation):
    """max(x, 0)."""

    activation = RELU


class Tanh(Activation):
    """tanh x."""

    activation = TANH


class Sigmoid(Activation):
    """1 / (1 + e⁻ˣ)."""

    activation = SIGMOID


class GELU(Layer):
    """x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2: torch's GELU(approximate="tanh") (Hendrycks and Gimpel 2016)."""

    def lower(self, graph: Graph, x: Value) -> Value:
        y = graph.batch(x.shape)
        graph.apply(GELU_OPERATION, (x,), (y,))
        return y


class Softplus(Layer):
    """log(1 + eˣ), a smooth ReLU (Dugas et al. 2001)."""

    def lower(self, graph: Graph, x: Value) -> Value:
        y = graph.batch(x.shape)
        graph.apply(SOFTPLUS, (x,), (y,))
        return y


class Maxout(Layer):
    """The greatest of each `pieces` neighbouring inputs (Goodfellow et al. 2013): (rows, n · pieces) to (rows, n).

    After ``Linear(m, n * pieces)`` each of the n units is the maximum of as many linear functions.

    Raises
    ------
    ConfigurationError
        `pieces` is not a whole number of at least 1.
    """

    def __init__(self, pieces: int = 2) -> None:
        if not isinstance(pieces, int) or pieces < 1:
            raise ConfigurationError(f"Maxout: pieces is {pieces!r}; expected a whole number of at least 1")
        self.pieces = pieces

    def lower(self, graph: Graph, x: Value) -> Value:
        if len(x.shape) != 1 or x.shape[0] % self.pieces:
            raise ShapeError(f"Maxout expects a multiple of {self.pieces} features a row, but gets rows of {x.shape}")
        y = graph.batch((x.shape[0] // self.pieces,))
        graph.apply(MAXOUT, (x,), (y,))
        return y
