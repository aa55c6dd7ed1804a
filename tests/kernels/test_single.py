"""The library's own functions of a float32, compiled and as Python runs them, against float64."""

from __future__ import annotations

import numpy as np
import pytest

from gearshift.backends.numba import compiled
from gearshift.kernels import single
from gearshift.kernels.elementary import exp as exp_of
from gearshift.kernels.single import LEAST, MOST, exp

DRAWN = np.random.default_rng(0)
SPREAD = np.concatenate([DRAWN.normal(size=20_000), 10.0 ** DRAWN.uniform(-37, 37, 20_000)]).astype(np.float32)
DOMAINS = {"expm1": (-80, 88), "tanh": (-1e30, 1e30), "log": (1.2e-38, 3e38), "log1p": (-0.999, 3e38)}


@pytest.mark.parametrize("name", DOMAINS)
def test_relative_error_is_at_most_four_units_in_the_last_place(name: str) -> None:
    low, high = DOMAINS[name]
    x = np.concatenate([SPREAD, -SPREAD, np.linspace(-1, 1, 10_001, dtype=np.float32)])
    x = x[(x >= low) & (x <= high) & (x != 0)]
    function, plain = compiled(getattr(single, name)), getattr(single, name)
    with np.errstate(all="ignore"):
        got, want = np.array([function(value) for value in x]), getattr(np, name)(x.astype(np.float64))
        same = [plain(value) for value in x[::499]]
    normal = np.abs(want) > np.finfo(np.float32).tiny
    assert np.max(np.abs(got - want)[normal] / np.abs(want[normal])) <= 4 * 2.0**-23
    assert np.allclose(same, got[::499], rtol=2**-20)


@pytest.mark.parametrize("name", [*DOMAINS, "full_exp"])
def test_special_values_are_those_of_numpy(name: str) -> None:
    x = np.array([0, np.inf, -np.inf, np.nan, -1, 3e38, -3e38], np.float32)
    function = compiled(getattr(single, name))
    with np.errstate(all="ignore"):
        want = getattr(np, {"full_exp": "exp"}.get(name, name))(x)
        got = np.array([function(value) for value in x])
    assert np.allclose(got, want, rtol=4e-7, equal_nan=True)


def test_the_exponential_of_a_user_overflows_and_underflows_where_numpys_does() -> None:
    like = np.empty(0, np.float32)
    with np.errstate(all="ignore"):
        for value in (88.5, 88.8, 100, -86.5, -100, -110):
            want = np.exp(np.float32(value))
            assert np.isclose(compiled(exp_of)(np.float32(value), like), want, rtol=1e-6, atol=1e-44)


def test_within_a_unit_in_the_last_place() -> None:
    x = np.linspace(LEAST, MOST, 200_001, dtype=np.float32)
    function = compiled(exp)  # pyright: ignore[reportArgumentType]
    got, want = np.array([function(value) for value in x]), np.exp(x.astype(np.float64))
    assert np.max(np.abs(got - want) / want) <= 2**-23
    plain = [exp(value) for value in x[::199]]
    assert np.allclose(plain, got[::199], rtol=2**-22)  # compiled, some products are not rounded


def test_beyond_its_bounds_and_of_what_is_no_number() -> None:
    for function in (exp, compiled(exp)):  # pyright: ignore[reportArgumentType]
        assert function(np.float32(0)) == 1
        assert 0 < function(np.float32(-np.inf)) == function(np.float32(LEAST)) < 2e-38
        assert np.inf > function(np.float32(np.inf)) == function(np.float32(MOST)) > 1e38
        assert np.isnan(function(np.float32(np.nan)))
