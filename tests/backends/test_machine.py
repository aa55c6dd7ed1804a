"""Copies of vectors in compiled loops, against NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gearshift.backends.machine import take
from gearshift.backends.numba import compiled


def copy(source: Any, target: Any) -> None:
    take(source, target)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("far", [1, 3])
@pytest.mark.parametrize("apart", [1, 2])
@pytest.mark.parametrize("size", [0, 1, 37])
def test_it_copies(size: int, apart: int, far: int, dtype: str) -> None:
    """Also where elements do not lie together, and nothing behind them."""
    source, target = np.arange(100, dtype=dtype), np.full(200, -1, dtype)
    compiled(copy)(source[: size * apart : apart], target[: size * far : far])
    expected = np.full(200, -1, dtype)
    expected[: size * far : far] = source[: size * apart : apart]
    np.testing.assert_array_equal(target, expected)


def test_in_place_nothing_changes() -> None:
    x = np.arange(9.0)
    compiled(copy)(x, x)
    np.testing.assert_array_equal(x, np.arange(9.0))


def test_types_must_agree() -> None:
    from numba.core.errors import TypingError

    with pytest.raises(TypingError, match="vectors of one type"):
        compiled(copy)(np.zeros(3), np.zeros(3, np.float32))
