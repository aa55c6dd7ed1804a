"""The layers that networks are made of."""

from .activations import GELU, Maxout, ReLU, Sigmoid, Softplus, Tanh
from .base import ArrayLayer, Layer, Parameter
from .batch_norm import BatchNorm1d
from .dropout import Dropout
from .linear import Linear
from .model import Add, Concatenate, Input, Model
from .noise import GaussianNoise, MaskingNoise
from .penalties import Contractive, KLSparsity, L1Activity
from .sequential import Sequential
from .standardize import Standardize
from .variational import Variational

__all__ = [
    "GELU",
    "Add",
    "ArrayLayer",
    "BatchNorm1d",
    "Concatenate",
    "Contractive",
    "Dropout",
    "GaussianNoise",
    "Input",
    "KLSparsity",
    "L1Activity",
    "Layer",
    "Linear",
    "MaskingNoise",
    "Maxout",
    "Model",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softplus",
    "Standardize",
    "Tanh",
    "Variational",
]
