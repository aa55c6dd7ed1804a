"""The layers. Files in this folder are discovered automatically; the names below are for use inside the package."""

# ruff: noqa: F401
from ..registered import import_all
from .activations import GELU, Maxout, ReLU, Sigmoid, Softplus, Tanh
from .array_layer import ArrayLayer
from .attention import MultiHeadAttention
from .base import Layer
from .batch_norm import BatchNorm1d
from .dropout import Dropout
from .embedding import Embedding
from .layer_norm import LayerNorm
from .linear import Linear
from .model import Add, Concatenate, Input, Model
from .noise import GaussianNoise, MaskingNoise
from .parameter import Parameter
from .penalties import Contractive, KLSparsity, L1Activity
from .pooling import MaxPooling, MeanPooling
from .residual import Residual, TransformerBlock
from .sequential import Sequential
from .standardize import Standardize
from .variational import Variational

import_all(__name__, __path__)
