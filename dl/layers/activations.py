"""Activation layers, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ...kernels.activation import ACTIVATION, IDENTITY, RELU, SIGMOID, TANH
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
