"""Half-precision dtypes: bfloat16 and float16. Arrays may have these dtypes; computations are in float32."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .errors import BackendUnavailable

SHORT = ("bfloat16", "float16")


def is_short(dtype: Any) -> bool:
    """Whether the dtype is half precision (16 bits)."""
    return np.dtype(dtype).name in SHORT


def load(name: str) -> None:
    """Registers the dtype `name` with NumPy: bfloat16 comes from ml_dtypes, which JAX also uses.

    Raises
    ------
    BackendUnavailable
        ml_dtypes is not installed.
    """
    if name == "bfloat16":
        try:
            importlib.import_module("ml_dtypes")
        except ImportError:
            raise BackendUnavailable("bfloat16 needs the package ml_dtypes: pip install ml_dtypes") from None


def widened(
    reference: Callable[..., None], xp: Any, arrays: Sequence[Any], attributes: Mapping[str, Any]
) -> Callable[[], None]:
    """The reference of an operation for half-precision arrays: computed in float32, rounded when stored."""

    def run() -> None:
        wide = [array.astype(np.float32) if is_short(array.dtype) else array for array in arrays]
        reference(xp, *wide, **attributes)
        for array, value in zip(arrays, wide, strict=True):
            if value is not array:
                array[...] = value  # inputs are unchanged by the round trip

    return run
