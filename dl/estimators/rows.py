"""The rows of a fit: their weights, those that are kept for validation, and those of a batch."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import _check_sample_weight

from ...backends import host
from ...backends.errors import ConfigurationError, DataError
from ..data.arrays import native
from .in_kind import taken


def dense(X: Any) -> Any:
    """X as NumPy's array in native byte order, and sparse X (SciPy's matrices and arrays) as a dense one.

    Raises
    ------
    DataError
        Sparse X does not fit into memory.
    """
    if not issparse(X):
        return native(taken(X))
    wanted, free = math.prod(X.shape) * max(4, X.dtype.itemsize), host.memory()[0]
    if wanted > free:
        raise DataError(
            f"X is sparse with shape {X.shape}; training needs it dense, which takes {wanted:,} bytes of memory, and "
            f"{free:,} are free. Reduce its features, as with sklearn.decomposition.TruncatedSVD"
        )
    return X.toarray()


def checked_weights(sample_weight: Any, x: np.ndarray) -> np.ndarray | None:
    """The weights of rows x, checked: (rows,) in x's dtype; None if there are none."""
    if sample_weight is None:
        return None
    weights = _check_sample_weight(taken(sample_weight), x, dtype=x.dtype)
    if weights.min() < 0 or not weights.sum() > 0:
        raise DataError(
            f"sample_weight is from {weights.min():g} to {weights.max():g}; expected at least 0, and some above it"
        )
    return weights


def split(
    targets: np.ndarray, fraction: float, random: np.random.RandomState, by_class: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows for training and for validation, as scikit-learn draws them; `by_class` stratifies them."""
    parts = train_test_split(
        np.arange(len(targets)), random_state=random, test_size=fraction, stratify=targets if by_class else None
    )
    rows, held = map(np.asarray, parts)
    if len(held) < 2:
        raise ConfigurationError(
            f"early_stopping: {fraction} of {len(targets)} samples are {len(held)} for validation; "
            "expected at least 2: raise validation_fraction"
        )
    return rows, held


def batch_rows(batch_size: int | str, rows: int) -> int:
    """Rows of a batch: as asked for, or ``"auto"``, but not more than there are."""
    if batch_size == "auto":
        return min(200, rows)
    if int(batch_size) > rows:
        warnings.warn(f"batch_size is {batch_size}; all {rows} samples are taken at once", stacklevel=2)
    return min(int(batch_size), rows)
