"""Backends (NumPy, Numba, CuPy), which hold arrays and run operations, and the choice of one."""

from .base import Backend, Status
from .registry import available, explain, get, register, unregister

__all__ = ["Backend", "Status", "available", "explain", "get", "register", "unregister"]
