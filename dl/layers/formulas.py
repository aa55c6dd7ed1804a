"""Activations that are written as formulas, with PyTorch's names and definitions."""

from __future__ import annotations

from typing import Any

from ...kernels.tracing import xp
from .formula import FormulaActivation


class SiLU(FormulaActivation):
    """x · sigmoid(x), also called swish (Elfwing et al. 2018).

    Examples
    --------
    >>> gs.Sequential(gs.Linear(4, 8), gs.SiLU(), gs.Linear(8, 1)).summary().parameters
    49
    """

    def __init__(self) -> None:
        super().__init__()

    @staticmethod
    def formula(x: Any) -> Any:
        return x * xp.sigmoid(x)


class LeakyReLU(FormulaActivation):
    """x where it is above 0, else `negative_slope` · x (Maas et al. 2013).

    Raises
    ------
    ConfigurationError
        `negative_slope` is not a number.

    Examples
    --------
    >>> gs.LeakyReLU(0.1)(np.array([[-1.0, 2.0]]))
    array([[-0.1,  2. ]], dtype=float32)
    """

    initializer = "he"

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(negative_slope=negative_slope)

    @staticmethod
    def formula(x: Any, *, negative_slope: float) -> Any:
        return xp.where(x > 0.0, x, negative_slope * x)


class ELU(FormulaActivation):
    """x where it is above 0, else alpha · (eˣ − 1) (Clevert et al. 2016).

    Raises
    ------
    ConfigurationError
        `alpha` is not a number.

    Examples
    --------
    >>> gs.ELU(alpha=1.0)(np.array([[-1.0, 2.0]])).round(3)
    array([[-0.632,  2.   ]], dtype=float32)
    """

    initializer = "he"

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)

    @staticmethod
    def formula(x: Any, *, alpha: float) -> Any:
        return xp.where(x > 0.0, x, alpha * xp.expm1(xp.where(x > 0.0, 0.0, x)))


class Hardtanh(FormulaActivation):
    """x between `min_val` and `max_val`.

    Raises
    ------
    ConfigurationError
        A bound is not a number.

    Examples
    --------
    >>> gs.Hardtanh()(np.array([[-3.0, 0.5, 3.0]]))
    array([[-1. ,  0.5,  1. ]], dtype=float32)
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__(min_val=min_val, max_val=max_val)

    @staticmethod
    def formula(x: Any, *, min_val: float, max_val: float) -> Any:
        inside = (x > min_val) & (x < max_val)
        return xp.where(inside, x, xp.where(x <= min_val, min_val, max_val))
