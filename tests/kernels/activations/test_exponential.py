"""The library's own exponential of a float32, compiled and as its Python says, against float64."""

from __future__ import annotations

import numpy as np

from gearshift.backends.numba import compiled
from gearshift.kernels.activations.exponential import LEAST, MOST, exp


def test_within_a_unit_in_the_last_place() -> None:
    x = np.linspace(LEAST, MOST, 200_001, dtype=np.float32)
    function = compiled(exp)  # pyright: ignore[reportArgumentType]
    got, want = np.array([function(value) for value in x]), np.exp(x.astype(np.float64))
    assert np.max(np.abs(got - want) / want) <= 2**-23
    plain = [exp(value) for value in x[::199]]
    assert np.array_equal(plain, got[::199])


def test_beyond_its_bounds_and_of_what_is_no_number() -> None:
    for function in (exp, compiled(exp)):  # pyright: ignore[reportArgumentType]
        assert function(np.float32(0)) == 1
        assert 0 < function(np.float32(-np.inf)) == function(np.float32(LEAST)) < 2e-38
        assert np.inf > function(np.float32(np.inf)) == function(np.float32(MOST)) > 1e38
        assert np.isnan(function(np.float32(np.nan)))
