"""The layers that networks are made of."""

from .activations import ReLU, Sigmoid, Tanh
from .base import ArrayLayer, Layer, Parameter
from .dropout import Dropout
from .linear import Linear
from .sequential import Sequential
from .standardize import Standardize

__all__ = [
    "ArrayLayer",
    "Dropout",
    "Layer",
    "Linear",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Standardize",
    "Tanh",
]
