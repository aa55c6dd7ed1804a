"""Data sets whose targets are their own rows, for autoencoders."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import Dataset, Splits


def scale_of(splits: Splits, standardize: bool) -> tuple[np.ndarray, np.ndarray]:
    """Offset and divisor of each feature, (features,) each; uint8 data are divided by 255."""
    width = int(np.prod(splits.feature_shape))
    if splits.train.x.dtype == np.uint8:
        return np.zeros(width), np.full(width, 255.0)
    if not standardize:
        return np.zeros(width), np.ones(width)
    mean, deviation = (part.reshape(-1) for part in splits.standardization())
    return mean, np.where(deviation > 0, deviation, 1)


def reconstructing(splits: Splits, numbers: bool) -> Splits:
    """The same rows, with themselves as targets, as `rows_as_targets` makes them."""

    def own(part: Dataset | None) -> Dataset | None:
        if part is None:
            return None
        targets = rows_as_targets(part.x, numbers)
        rows = Dataset(part.x, targets, part.weight, feature_names=part.feature_names)
        rows.preparation = part.preparation
        return rows

    return Splits(own(splits.train), own(splits.validation), own(splits.test), None, splits.name)  # pyright: ignore


def rows_as_targets(x: Any, numbers: bool) -> np.ndarray:
    """Rows as targets (rows, features) of floats.

    If the loss takes numbers, they are in the units of the rows, and the model's `target_scaling` scales them. If it
    takes shares, bytes are divided by 255.
    """
    x = np.asarray(x).reshape(len(x), -1)
    real = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
    return x.astype(real, copy=False) if numbers or x.dtype != np.uint8 else x / real.type(255)
