"""A multilayer perceptron in scikit-learn's terms: `coefs_`, `intercepts_` and names of activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends import Backend
from ...kernels.activations.activation import IDENTITY, RELU, SIGMOID, TANH, activate
from ..layers import Dropout, Layer, Linear, ReLU, Sequential, Sigmoid, Tanh

ROWS = 4096  # of a forward pass at a time
FUNCTIONS = {"identity": IDENTITY, "logistic": SIGMOID, "tanh": TANH, "relu": RELU}
_LAYERS: dict[str, type[Layer] | None] = {"identity": None, "logistic": Sigmoid, "tanh": Tanh, "relu": ReLU}


@dataclass
class Network:
    """Weights and activations of an MLP, on the host.

    Parameters
    ----------
    coefs : weights of each layer, (inputs, outputs).
    intercepts : biases of each layer, (outputs,), or None if there are none.
    activations : names of the hidden layers' activations; outputs have none.
    """

    coefs: list[np.ndarray]
    intercepts: list[np.ndarray] | None
    activations: Sequence[str]

    def model(self, dropout: float = 0.0) -> Sequential:
        """Layers with copies of these weights; `dropout` follows each hidden activation."""
        layers: list[Layer] = []
        for level, coef in enumerate(self.coefs):
            linear = Linear(*map(int, coef.shape), bias=self.intercepts is not None)
            linear.weight.array = np.array(coef, order="C")
            if linear.bias is not None and self.intercepts is not None:
                linear.bias.array = np.array(self.intercepts[level])
            layers.append(linear)
            if level < len(self.activations):
                activation = _LAYERS[self.activations[level]]
                layers += [activation()] if activation else []
                layers += [Dropout(dropout)] if dropout else []
        return Sequential(*layers, dtype=self.coefs[0].dtype.name)

    def take(self, model: Sequential) -> None:
        """Replaces the weights by copies of a model's."""
        linear = [layer for layer in model if isinstance(layer, Linear)]
        self.coefs[:] = [np.array(layer.weight.numpy()) for layer in linear]
        if self.intercepts is not None:
            self.intercepts[:] = [np.array(layer.bias.numpy()) for layer in linear if layer.bias is not None]

    @np.errstate(under="ignore")
    def forward(self, backend: Backend, x: np.ndarray, first: int = 0, last: int | None = None) -> np.ndarray:
        """The outputs of layers `first` to `last` for x (rows, features), on the host."""
        coefs = self.coefs[first:last]
        output = np.empty((len(x), coefs[-1].shape[1]), coefs[-1].dtype)
        resident = [backend.asarray(coef) for coef in coefs]
        for start in range(0, len(x), ROWS):
            y: Any = backend.asarray(x[start : start + ROWS])
            for level, coef in enumerate(resident, first):
                y = y @ coef
                if self.intercepts is not None:
                    y += backend.asarray(self.intercepts[level])
                if level < len(self.activations):
                    y = activate(backend.xp, y, FUNCTIONS[self.activations[level]])
            output[start : start + ROWS] = backend.to_numpy(y)
        return output
