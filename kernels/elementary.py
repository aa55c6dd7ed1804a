"""Elementary functions of one number for loops; `like` is an array of the dtype that is computed in.

In float32 they are those of `single`, which vectorise; in float64 those of `math`. Whether numbers are float32 is asked
in a way that is known when a loop is compiled (an array's itemsize is not): a tenth is then another number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.compiling import inlined
from .single import expm1 as expm1_32
from .single import full_exp as exp32
from .single import log as log32
from .single import log1p as log1p_32
from .single import tanh as tanh32

TENTH = 0.1


@inlined
def exp(x: Any, like: Any) -> Any:
    """eˣ."""
    real = like.dtype.type
    return real(exp32(np.float32(x)) if float(real(TENTH)) != TENTH else math.exp(x))


@inlined
def expm1(x: Any, like: Any) -> Any:
    """eˣ − 1, exact near 0."""
    real = like.dtype.type
    return real(expm1_32(np.float32(x)) if float(real(TENTH)) != TENTH else math.expm1(x))


@inlined
def log(x: Any, like: Any) -> Any:
    """The natural logarithm."""
    real = like.dtype.type
    return real(log32(np.float32(x)) if float(real(TENTH)) != TENTH else math.log(x))


@inlined
def log1p(x: Any, like: Any) -> Any:
    """log(1 + x), exact near 0."""
    real = like.dtype.type
    return real(log1p_32(np.float32(x)) if float(real(TENTH)) != TENTH else math.log1p(x))


@inlined
def tanh(x: Any, like: Any) -> Any:
    """The hyperbolic tangent."""
    real = like.dtype.type
    return real(tanh32(np.float32(x)) if float(real(TENTH)) != TENTH else math.tanh(x))


@inlined
def sigmoid(x: Any, like: Any) -> Any:
    """1 / (1 + e⁻ˣ)."""
    real = like.dtype.type
    return real(1) / (real(1) + real(exp32(np.float32(-x)) if float(real(TENTH)) != TENTH else math.exp(-x)))


@inlined
def sign(x: Any, like: Any) -> Any:
    """−1, 0 or 1; NaN for NaN."""
    one = like.dtype.type(1)
    return one if x > 0 else -one if x < 0 else x
