"""The exponential of a float32 in plain arithmetic, which compilers turn into vector instructions; math.exp is a call.

eˣ = 2ᵏ · eʳ with k the whole number nearest to x / ln 2 and |r| ≤ ln 2 / 2, where eight terms of the power series
leave 5e-9 of the value. The result is within 1.2e-7 of it, one unit in the last place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LEAST, MOST = -87.0, 88.0  # beyond, the result is that of the bound, near the least and the greatest normal number
ROUNDER = 1.5 * 2**23  # a float32 that is added to another rounds it to a whole number
LN2_HIGH = 0.693359375  # of ten bits, so that its product with k is exact
LN2_LOW = math.log(2) - LN2_HIGH


def exp(x: Any) -> Any:
    """eˣ of a float32."""
    real = np.float32
    x = real(LEAST) if x < real(LEAST) else x
    x = real(MOST) if x > real(MOST) else x
    shifted = x * real(1 / math.log(2)) + real(ROUNDER)
    k = shifted - real(ROUNDER)
    r = x - k * real(LN2_HIGH) - k * real(LN2_LOW)
    y = r * real(1 / 5040) + real(1 / 720)
    y = y * r + real(1 / 120)
    y = y * r + real(1 / 24)
    y = y * r + real(1 / 6)
    y = y * r + real(0.5)
    y = y * r + real(1)
    y = y * r + real(1)
    # the last bits of `shifted` are k, and a float's exponent begins at bit 23
    return y * np.int32((np.float32(shifted).view(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)
