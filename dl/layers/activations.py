"""Activation layers, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ...kernels.activation import ACTIVATION, IDENTITY, RELU, SIGMOID, TANH
from ...kernels.gelu import GELU as GELU_OPERATION
from ...kernels.softplus import SOFTPLUS
from .base import Layer

if TYPE_CHECKING:
    from ..graph import Graph, Value


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
