"""What is said where cuBLASLt is missing or does not start."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gearshift.backends import cublaslt


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    products, reason = cublaslt.load(np, lambda work: 0.0, "a GPU")
    assert products is None and "pip install nvmath-python" in reason and "cupy.matmul" in reason

    def broken() -> int:
        raise RuntimeError("CUDA driver is not found")

    bindings = SimpleNamespace(create=broken, get_version=lambda: 120900)
    monkeypatch.setattr(importlib, "import_module", lambda name: bindings)
    products, reason = cublaslt.load(np, lambda work: 0.0, "a GPU")
    assert products is None and "cuBLASLt does not start: RuntimeError: CUDA driver is not found" in reason
