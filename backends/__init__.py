"""Where arrays live and work runs: NumPy, Numba or CuPy, and the choice among them."""

from .base import Backend, Status
from .registry import available, explain, get, register, unregister

__all__ = ["Backend", "Status", "available", "explain", "get", "register", "unregister"]
