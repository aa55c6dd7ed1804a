"""The layers that networks are made of."""

from .activations import GELU, ReLU, Sigmoid, Softplus, Tanh
from .attention import MultiHeadAttention
from .base import ArrayLayer, Layer, Parameter
from .dropout import Dropout
from .embedding import Embedding
from .layer_norm import LayerNorm
from .linear import Linear
from .model import Add, Concatenate, Input, Model
from .residual import Residual, TransformerBlock
from .sequential import Sequential
from .standardize import Standardize

__all__ = [
    "GELU",
    "Add",
    "ArrayLayer",
    "Concatenate",
    "Dropout",
    "Embedding",
    "Input",
    "Layer",
    "LayerNorm",
    "Linear",
    "Model",
    "MultiHeadAttention",
    "Parameter",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Softplus",
    "Standardize",
    "Tanh",
    "TransformerBlock",
]
