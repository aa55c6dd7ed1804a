"""The float32 exponential in plain arithmetic, which compilers vectorise (math.exp would be a function call).

eˣ = 2ᵏ · eʳ with k the integer nearest to x / ln 2 and |r| ≤ ln 2 / 2, where eight terms of the power series
have a relative error of 5e-9. The relative error of the result is at most 1.2e-7, one unit in the last place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backends.reductions import larger, multiply_add, plus

LEAST, MOST = -87.0, 88.0  # inputs are clipped to this range, which covers almost all normal numbers
ROUNDER = 1.5 * 2**23  # a float32 that is added to another rounds it to an integer
LN2_HIGH = 0.693359375  # has ten bits, so that its product with k is exact
LN2_LOW = math.log(2) - LN2_HIGH


def exp(x: Any) -> Any:
    """eˣ of a float32."""
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
    # the last bits of `shifted` are k, and the exponent of a float begins at bit 23
    return y * np.int32((np.float32(shifted).view(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)


def exponentials(s: Any, e: Any, factor: Any) -> Any:
    """e = exp(factor · (s − the largest s)) for vectors of at least one element; returns Σ e. e may be s itself."""
    n, top, total = s.shape[0], largest(s), e.dtype.type(0)
    for j in range(n):
        e[j] = s[j]  # then only one array is read and written
    for j in range(n):
        e[j] = (e[j] - top) * factor
    exponentiate(e)
    for j in range(n):
        total = plus(total, e[j])
    return total


def exponentiate(x: Any) -> None:
    """x = exp(x) for a vector."""
    if x.itemsize == 4:
        for j in range(x.shape[0]):
            x[j] = exp(np.float32(x[j]))
    else:
        for j in range(x.shape[0]):
            x[j] = math.exp(x[j])


def largest(s: Any) -> Any:
    """The largest element of a vector of at least one; any number if one is NaN."""
    top = s[0]
    for j in range(1, s.shape[0]):
        top = larger(top, s[j])
    return top
