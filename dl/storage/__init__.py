"""Crash-safe files: atomic writes, named tensors (safetensors), one writer per run directory.

Nothing here knows about models, optimizers or configurations.
"""

from __future__ import annotations

from .atomic import replaceable, write_atomically
from .header import Header, TensorInfo
from .tensors import check_tensors, load_tensors, read_header, save_tensors

__all__ = [
    "Header",
    "TensorInfo",
    "check_tensors",
    "load_tensors",
    "read_header",
    "replaceable",
    "save_tensors",
    "write_atomically",
]
