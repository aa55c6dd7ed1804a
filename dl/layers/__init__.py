"""The layers that networks are made of."""

from .activations import GELU, Maxout, ReLU, Sigmoid, Softplus, Tanh
from .attention import MultiHeadAttention
from .base import ArrayLayer, Layer, Parameter
from .batch_norm import BatchNorm1d
from .dropout import Dropout
from .embedding import Embedding
from .layer_norm import LayerNorm
from .linear import Linear
from .model import Add, Concatenate, Input, Model
from .noise import GaussianNoise, MaskingNoise
from .penalties import Contractive, KLSparsity, L1Activity
from .pooling import MaxPooling, MeanPooling
from .residual import Residual, TransformerBlock
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
    "Embedding",
    "GaussianNoise",
    "Input",
    "KLSparsity",
    "L1Activity",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaskingNoise",
    "MaxPooling",
    "Maxout",
    "MeanPooling",
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
    "Variational",
]
