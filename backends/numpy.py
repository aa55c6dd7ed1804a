"""The reference backend: NumPy only."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from . import host
from .base import Backend, Status
from .precision import SHORT


class NumPyBackend(Backend):
    """Runs every operation's reference on NumPy arrays."""

    name: ClassVar[str] = "numpy"
    xp: Any = np
    precisions = ("float32", "float64", *SHORT)

    def __init__(self) -> None:
        host.keep_freed_memory()

    @classmethod
    def status(cls) -> Status:
        return Status(
            cls.name,
            runs=True,
            device=host.processor(),
            versions={"numpy": np.__version__},
            memory=host.memory(),
            threads=host.blas_threads(),
        )

    def memory(self) -> tuple[int, int]:
        return host.memory()

    def asarray(self, array: Any, dtype: Any = None) -> np.ndarray:
        if type(array).__module__.partition(".")[0] == "cupy":
            array = array.get()
        return np.asarray(array, dtype=dtype, order="C")

    def to_numpy(self, array: Any) -> np.ndarray:
        return np.asarray(array)

    def zeros(self, shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
        return host.aligned_zeros(shape, dtype)
