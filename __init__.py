"""Gearshift trains neural networks on arrays: on NumPy, Numba or CuPy, chosen by configuration.

Every public name is importable from here; what it needs is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import backends
    from .backends.errors import (
        BackendUnavailable,
        CheckpointError,
        ConfigurationError,
        DataError,
        DeviceMemoryError,
        GearshiftError,
        NonFiniteLoss,
        RunLocked,
        ShapeError,
    )
    from .dl.autoencoders import autoencoder
    from .dl.callbacks import Callback
    from .dl.checkpoint import load
    from .dl.data import Dataset, Splits, load_dataset
    from .dl.diagnostics.check import check_gradients
    from .dl.diagnostics.curvature import spectrum
    from .dl.diagnostics.noise import gradient_noise
    from .dl.diagnostics.resampling import bias_variance
    from .dl.diagnostics.watch import Curvature, FlatStretch, GradientNorms
    from .dl.estimators.autoencoder import Autoencoder
    from .dl.estimators.logistic import LogisticRegression
    from .dl.estimators.mlp import MLPClassifier, MLPRegressor
    from .dl.gradients import value_and_grad
    from .dl.groups import ParameterGroup
    from .dl.hessian import Hessian, hessian_vector_product
    from .dl.history import History
    from .dl.joint_loss import Head, JointLoss
    from .dl.layers import (
        GELU,
        Add,
        ArrayLayer,
        BatchNorm1d,
        Concatenate,
        Contractive,
        Dropout,
        Embedding,
        GaussianNoise,
        Input,
        KLSparsity,
        L1Activity,
        Layer,
        LayerNorm,
        Linear,
        MaskingNoise,
        Maxout,
        MaxPooling,
        MeanPooling,
        Model,
        MultiHeadAttention,
        Parameter,
        ReLU,
        Residual,
        Sequential,
        Sigmoid,
        Softplus,
        Standardize,
        Tanh,
        TransformerBlock,
        Variational,
    )
    from .dl.learning_rates import learning_rate_trials
    from .dl.losses import (
        BCEWithLogitsLoss,
        CrossEntropyLoss,
        HingeLoss,
        Loss,
        MSELoss,
        MulticlassHingeLoss,
        SoftCrossEntropyLoss,
    )
    from .dl.optimizers import (
        SGD,
        Adadelta,
        Adagrad,
        Adam,
        AdamW,
        DeltaBarDelta,
        Momentum,
        Nesterov,
        Newton,
        NewtonCG,
        Optimizer,
        RandomPerturbation,
        RMSprop,
    )
    from .dl.regularizers import L1, Regularizer, SoftThreshold
    from .dl.report import Report
    from .dl.run import Run
    from .dl.schedules import (
        Constant,
        CosineDecay,
        InverseTimeDecay,
        LinearDecay,
        PowerDecay,
        Ramp,
        Schedule,
        StepDecay,
    )
    from .dl.target_scaling import TargetScaling
    from .dl.trainer import Trainer

_MODULES = {
    "backends.errors": (
        "BackendUnavailable CheckpointError ConfigurationError DataError DeviceMemoryError GearshiftError "
        "NonFiniteLoss RunLocked ShapeError"
    ),
    "dl.autoencoders": "autoencoder",
    "dl.callbacks": "Callback",
    "dl.checkpoint": "load",
    "dl.data": "Dataset Splits load_dataset",
    "dl.diagnostics.check": "check_gradients",
    "dl.diagnostics.curvature": "spectrum",
    "dl.diagnostics.noise": "gradient_noise",
    "dl.diagnostics.resampling": "bias_variance",
    "dl.diagnostics.watch": "Curvature FlatStretch GradientNorms",
    "dl.estimators.autoencoder": "Autoencoder",
    "dl.estimators.logistic": "LogisticRegression",
    "dl.estimators.mlp": "MLPClassifier MLPRegressor",
    "dl.gradients": "value_and_grad",
    "dl.groups": "ParameterGroup",
    "dl.hessian": "Hessian hessian_vector_product",
    "dl.history": "History",
    "dl.joint_loss": "Head JointLoss",
    "dl.layers": (
        "Add ArrayLayer BatchNorm1d Concatenate Contractive Dropout Embedding GELU GaussianNoise Input KLSparsity "
        "L1Activity Layer LayerNorm Linear MaskingNoise MaxPooling Maxout MeanPooling Model MultiHeadAttention "
        "Parameter ReLU Residual Sequential Sigmoid Softplus Standardize Tanh TransformerBlock Variational"
    ),
    "dl.learning_rates": "learning_rate_trials",
    "dl.losses": "BCEWithLogitsLoss CrossEntropyLoss HingeLoss Loss MSELoss MulticlassHingeLoss SoftCrossEntropyLoss",
    "dl.optimizers": (
        "SGD Adadelta Adagrad Adam AdamW DeltaBarDelta Momentum Nesterov Newton NewtonCG Optimizer RMSprop "
        "RandomPerturbation"
    ),
    "dl.regularizers": "L1 Regularizer SoftThreshold",
    "dl.report": "Report",
    "dl.run": "Run",
    "dl.schedules": "Constant CosineDecay InverseTimeDecay LinearDecay PowerDecay Ramp Schedule StepDecay",
    "dl.target_scaling": "TargetScaling",
    "dl.trainer": "Trainer",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "GELU",
    "L1",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Add",
    "ArrayLayer",
    "Autoencoder",
    "BCEWithLogitsLoss",
    "BackendUnavailable",
    "BatchNorm1d",
    "Callback",
    "CheckpointError",
    "Concatenate",
    "ConfigurationError",
    "Constant",
    "Contractive",
    "CosineDecay",
    "CrossEntropyLoss",
    "Curvature",
    "DataError",
    "Dataset",
    "DeltaBarDelta",
    "DeviceMemoryError",
    "Dropout",
    "Embedding",
    "FlatStretch",
    "GaussianNoise",
    "GearshiftError",
    "GradientNorms",
    "Head",
    "Hessian",
    "HingeLoss",
    "History",
    "Input",
    "InverseTimeDecay",
    "JointLoss",
    "KLSparsity",
    "L1Activity",
    "Layer",
    "LayerNorm",
    "Linear",
    "LinearDecay",
    "LogisticRegression",
    "Loss",
    "MLPClassifier",
    "MLPRegressor",
    "MSELoss",
    "MaskingNoise",
    "MaxPooling",
    "Maxout",
    "MeanPooling",
    "Model",
    "Momentum",
    "MultiHeadAttention",
    "MulticlassHingeLoss",
    "Nesterov",
    "Newton",
    "NewtonCG",
    "NonFiniteLoss",
    "Optimizer",
    "Parameter",
    "ParameterGroup",
    "PowerDecay",
    "RMSprop",
    "Ramp",
    "RandomPerturbation",
    "ReLU",
    "Regularizer",
    "Report",
    "Residual",
    "Run",
    "RunLocked",
    "Schedule",
    "Sequential",
    "ShapeError",
    "Sigmoid",
    "SoftCrossEntropyLoss",
    "SoftThreshold",
    "Softplus",
    "Splits",
    "Standardize",
    "StepDecay",
    "Tanh",
    "TargetScaling",
    "Trainer",
    "TransformerBlock",
    "Variational",
    "__version__",
    "autoencoder",
    "backends",
    "bias_variance",
    "check_gradients",
    "gradient_noise",
    "hessian_vector_product",
    "learning_rate_trials",
    "load",
    "load_dataset",
    "spectrum",
    "value_and_grad",
]


def __getattr__(name: str) -> Any:
    if name == "backends":
        return importlib.import_module(".backends", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
