"""Data sets whose targets are their own rows, for autoencoders."""

from __future__ import annotations

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


def reconstructing(splits: Splits, standardize: bool) -> Splits:
    """The same rows, with their own scaled values as targets."""
    mean, deviation = scale_of(splits, standardize)

    def own(part: Dataset | None) -> Dataset | None:
        if part is None:
            return None
        x = np.asarray(part.x).reshape(len(part), -1)
        real = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        scaled = (x - mean.astype(real)) / deviation.astype(real)
        rows = Dataset(part.x, scaled, part.weight, feature_names=part.feature_names)
        rows.preparation = part.preparation
        return rows

    return Splits(own(splits.train), own(splits.validation), own(splits.test), None, splits.name)  # pyright: ignore
