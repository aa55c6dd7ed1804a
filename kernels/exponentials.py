"""Exponentials of a vector relative to its largest element, and their sum: the loop of every softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.machine import take
from ..backends.reductions import larger, plus
from .single import exp


def exponentials(s: Any, e: Any, factor: Any) -> Any:
    """e = exp(factor · (s − the largest s)) for vectors of at least one element; returns Σ e. e may be s itself."""
    n, top, total = s.shape[0], largest(s), e.dtype.type(0)
    take(s, e)
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
