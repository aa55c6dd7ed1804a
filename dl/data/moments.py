"""Mean and standard deviation of columns, block by block, with the bits of scikit-learn's `StandardScaler`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def moments(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column of float64 blocks of rows.

    A column whose variance is not above what rounding causes does not vary: its standard deviation is 1. The update is
    that of Chan, Golub and LeVeque (1983).
    """
    rows: int = 0
    mean: Any = 0.0
    variance: Any = 0.0
    for block in blocks:
        more, total = len(block), block.sum(axis=0)
        deviations = block - total / more
        squares = (deviations**2).sum(axis=0) - deviations.sum(axis=0) ** 2 / more
        before, ratio = mean * rows, rows / more
        if rows:
            squares = variance * rows + squares + ratio / (rows + more) * (before / ratio - total) ** 2
        rows += more
        mean, variance = (before + total) / rows, squares / rows
    rounding = np.finfo(np.float64).eps * rows
    constant = variance <= rounding * variance + (rounding * mean) ** 2
    return mean, np.where(constant & np.isfinite(variance), 1.0, np.sqrt(variance))
