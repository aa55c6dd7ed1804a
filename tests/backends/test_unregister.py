"""A backend's name can be given back."""

from __future__ import annotations

import pytest

import gearshift as gs
from gearshift.backends import numba, numpy
from gearshift.backends.errors import ConfigurationError


def test_a_name_is_gone_after_it() -> None:
    gs.backends.register("mine", numpy.NumPyBackend)
    assert type(gs.backends.get("mine")) is numpy.NumPyBackend
    gs.backends.unregister("mine")
    assert "mine" not in gs.backends.available()
    with pytest.raises(ConfigurationError, match="'mine' is not known"):
        gs.backends.get("mine")


def test_a_built_in_name_stands_for_the_built_in_backend_again() -> None:
    before = list(gs.backends.available())
    gs.backends.register("numba", numpy.NumPyBackend)
    assert type(gs.backends.get("numba")) is numpy.NumPyBackend
    gs.backends.unregister("numba")
    assert type(gs.backends.get("numba")) is numba.NumbaBackend
    assert list(gs.backends.available()) == before


@pytest.mark.parametrize("name", ["nobody's", "auto"])
def test_only_what_is_registered(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name!r} is not registered; expected one of: cupy, numba, numpy"):
        gs.backends.unregister(name)
