"""The layers that networks are made of."""

from .activations import GELU, ReLU, Sigmoid, Softplus, Tanh
from .base import ArrayLayer, Layer, Parameter
from .dropout import Dropout
from .linear import Linear
from .sequential import Sequential
from .standardize import Standardize

__all__ = [
    "GELU",
    "ArrayLayer",
    "Dropout",
    "Layer",
    "Linear",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softplus",
    "Standardize",
    "Tanh",
]
