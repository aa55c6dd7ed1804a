"""These tests take the matrix unit where the CPU has one, although nothing is measured; others need not compile it."""

from __future__ import annotations

import os

import pytest

from gearshift.backends.matrix_unit import SWITCH


@pytest.fixture(autouse=True)
def matrix_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    if SWITCH not in os.environ:
        monkeypatch.setenv(SWITCH, "on")
