"""A layer, an activation and a loss as users write them: as formulas, of which kernels are made."""

from __future__ import annotations

from typing import Any

from ...dl.layers import Linear
from ...dl.layers.base import Layer
from ...dl.layers.formula import FormulaActivation
from ...dl.layers.initializers import Full
from ...dl.layers.parameter import Parameter
from ...dl.losses.values import ValuesLoss
from ...kernels.tracing import xp


class ProofGate(Layer, named=False):
    """A product, a softmax of rows, and a gradient that is a sum over rows."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.inner = Linear(features, features)
        self.gate = Parameter((features,), Full(0.5))

    def forward(self, x: Any) -> Any:
        return x + xp.softmax(self.inner(x)) * xp.sigmoid(self.gate * x)


class ProofSwish(FormulaActivation, named=False):
    """Element by element."""

    @staticmethod
    def formula(x: Any) -> Any:
        return x * xp.sigmoid(x)


class ProofHuber(ValuesLoss, named=False):
    """With a condition, and a mean of rows."""

    @staticmethod
    def formula(output: Any, target: Any) -> Any:
        size = xp.abs(output - target)
        return xp.where(size <= 1.0, 0.5 * size * size, size - 0.5).mean(axis=-1)
