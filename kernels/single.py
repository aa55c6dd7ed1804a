"""Functions of a float32 in plain arithmetic, which compilers vectorise (those of `math` would be function calls).

eˣ = 2ᵏ · eʳ with k the integer nearest to x / ln 2 and |r| ≤ ln 2 / 2, where eight terms of the power series have a
relative error of 5e-9. log x = k ln 2 + log m with x = 2ᵏ m and √½ ≤ m < √2, and log m = 2 artanh s with
s = (m − 1) / (m + 1), |s| ≤ 0.172, where five terms of the power series have a relative error of 5e-10. The others
follow from these two; near 0, where they would lose digits, they have series of their own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.compiling import inlined
from ..backends.reductions import multiply_add

LEAST, MOST = -87.0, 88.0  # inputs of `exp` are clipped to this range, which covers almost all normal numbers
ROUNDER = 1.5 * 2**23  # a float32 that is added to another rounds it to an integer
LN2_HIGH = 0.693359375  # has ten bits, so that its product with k is exact
LN2_LOW = math.log(2) - LN2_HIGH
NEAR_EXPM1, NEAR_TANH = 0.5, 0.35  # below them, these functions use their own series
SMALLEST = 2.0**-126  # the least normal float32
HALF_ROOT = 0x3F3504F3  # the bits of √½
EXPONENT, FRACTION = 23, 0x7FFFFF  # where the exponent of a float32 begins, and the bits below


@inlined
def exp(x: Any) -> Any:
    """eˣ."""
    real = np.float32
    x = real(LEAST) if x < real(LEAST) else x
    x = real(MOST) if x > real(MOST) else x
    shifted = multiply_add(x, real(1 / math.log(2)), real(ROUNDER))
    k = shifted - real(ROUNDER)
    r = multiply_add(k, real(-LN2_LOW), multiply_add(k, real(-LN2_HIGH), x))
    y = multiply_add(r, real(1 / 5040), real(1 / 720))
    y = multiply_add(y, r, real(1 / 120))
    y = multiply_add(y, r, real(1 / 24))
    y = multiply_add(y, r, real(1 / 6))
    y = multiply_add(y, r, real(0.5))
    y = multiply_add(y, r, real(1))
    y = multiply_add(y, r, real(1))
    # the last bits of `shifted` are k
    return y * np.int32((np.float32(shifted).view(np.int32) + np.int32(127)) << np.int32(EXPONENT)).view(np.float32)


@inlined
def full_exp(x: Any) -> Any:
    """eˣ as the square of e^(x/2): it overflows and underflows where eˣ does, with twice the relative error."""
    root = exp(x * np.float32(0.5))
    return root * root


@inlined
def expm1(x: Any) -> Any:
    """eˣ − 1."""
    real = np.float32
    y = x * real(1 / 40320) + real(1 / 5040)
    y = y * x + real(1 / 720)
    y = y * x + real(1 / 120)
    y = y * x + real(1 / 24)
    y = y * x + real(1 / 6)
    y = y * x + real(0.5)
    near = y * x * x + x
    far = full_exp(x) - real(1)
    return near if abs(x) < real(NEAR_EXPM1) else far


@inlined
def tanh(x: Any) -> Any:
    """tanh x = 1 − 2 / (e²ˣ + 1), by its series near 0."""
    real = np.float32
    s = x * x
    y = s * real(-1382 / 155925) + real(62 / 2835)
    y = y * s + real(-17 / 315)
    y = y * s + real(2 / 15)
    y = y * s + real(-1 / 3)
    near = y * s * x + x
    far = real(1) - real(2) / (exp(x + x) + real(1))
    return near if abs(x) < real(NEAR_TANH) else far


@inlined
def log(x: Any) -> Any:
    """log x; −∞ for 0, NaN below it."""
    real = np.float32
    bits = np.float32(x).view(np.int32) - np.int32(HALF_ROOT)
    k = real(bits >> np.int32(EXPONENT))
    m = np.int32((bits & np.int32(FRACTION)) + np.int32(HALF_ROOT)).view(np.float32)
    s = (m - real(1)) / (m + real(1))
    q = s * s
    y = q * real(2 / 9) + real(2 / 7)
    y = y * q + real(2 / 5)
    y = y * q + real(2 / 3)
    y = k * real(LN2_HIGH) + (k * real(LN2_LOW) + (y * q * s + (s + s)))
    y = y if x >= real(SMALLEST) else real(math.log(SMALLEST)) if x > real(0) else real(-math.inf)
    y = y if x >= real(0) else real(math.nan)
    return x if x == real(math.inf) else y


@inlined
def log1p(x: Any) -> Any:
    """log(1 + x) = log w · x / (w − 1) with w = 1 + x as it is rounded (Kahan)."""
    real = np.float32
    w = real(1) + x
    d = w - real(1)
    exact = d == real(0)
    whole = log(w)
    y = whole * (x / (real(1) if exact else d))
    y = whole if x > real(1e38) else y
    return x if exact else y
