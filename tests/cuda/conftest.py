"""Tests of this folder run on the stand-in for CUDA, or say why they do not."""

from __future__ import annotations

from pathlib import Path

import pytest
import stand_in

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    asked = "" if stand_in.wanted() else f"set {stand_in.VARIABLE}=1 to run the real CuPy without a GPU"
    reason = stand_in.obstacle() or asked
    for item in items:
        if reason and item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason=reason))
