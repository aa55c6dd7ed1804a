"""Arrays as strict as CuPy's: they take none of NumPy's beside them, and what makes the host wait is counted."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np


class DeviceArray(np.ndarray):
    """An array of the device. NumPy's functions on it give such arrays, of no dimensions where NumPy gives numbers."""

    looks = 0  # of the host at any of them, each of which waits for the device

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return on_device(getattr(ufunc, method))(*inputs, **options)

    def __getitem__(self, key: Any) -> Any:
        return _there(super().__getitem__(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        _refuse(value)
        super().__setitem__(key, value)

    def set(self, host: np.ndarray) -> None:
        """Copies an array of the host, of the same shape and dtype."""
        assert host.shape == self.shape and host.dtype == self.dtype
        self.view(np.ndarray)[...] = host

    def _look(self) -> np.ndarray:
        DeviceArray.looks += 1
        return self.view(np.ndarray)

    def __int__(self) -> int:
        return int(self._look())

    def __index__(self) -> int:
        return self._look().__index__()

    def __float__(self) -> float:
        return float(self._look())

    def __bool__(self) -> bool:
        return bool(self._look())

    def item(self, *place: Any) -> Any:
        return self._look().item(*place)

    def tolist(self) -> Any:
        return self._look().tolist()


def on_device(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy's as CuPy has it."""

    @wraps(function)
    def strict(*inputs: Any, **options: Any) -> Any:
        _refuse((inputs, tuple(options.values())))
        return _there(function(*map(_plain, inputs), **{name: _plain(value) for name, value in options.items()}))

    return strict


def _refuse(value: Any) -> None:
    if isinstance(value, list | tuple):
        for one in value:
            _refuse(one)
    elif isinstance(value, np.ndarray) and not isinstance(value, DeviceArray):
        raise TypeError(f"Unsupported type {np.ndarray}")  # as CuPy says it


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value.view(np.ndarray) if isinstance(value, DeviceArray) else value


def _there(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(_there, value))
    return np.asarray(value).view(DeviceArray) if isinstance(value, np.ndarray | np.generic) else value
