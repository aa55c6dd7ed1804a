"""Initialisers with parameters: moments, reproducibility, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.layers.initializers import Normal, Uniform, named


@pytest.mark.parametrize(
    ("init", "mean", "std", "low", "high"),
    [
        (Normal(0.5, 0.02), 0.5, 0.02, 0.3, 0.7),
        ("normal(0.5, 2e-2)", 0.5, 0.02, 0.3, 0.7),
        (Uniform(-1, 3), 1, 4 / 12**0.5, -1, 3),
        ("uniform(-1, 3)", 1, 4 / 12**0.5, -1, 3),
        pytest.param(lambda random, shape: random.exponential(2.0, shape), 2, 2, 0, 100, id="a function"),
    ],
)
def test_moments(tmp_path: Path, init: Any, mean: float, std: float, low: float, high: float) -> None:
    layer = gs.Linear(200, 300, init=init).init(7)
    weights = layer.state_dict()["weight"]
    assert weights.mean() == pytest.approx(mean, abs=5 * std / weights.size**0.5)
    assert weights.std() == pytest.approx(std, rel=0.02)
    assert low <= weights.min() and weights.max() <= high
    np.testing.assert_array_equal(weights, gs.Linear(200, 300, init=init).init(7).state_dict()["weight"])
    assert not np.array_equal(weights, gs.Linear(200, 300, init=init).init(8).state_dict()["weight"])
    model = gs.Sequential(layer)
    model.save(tmp_path / "m.safetensors")
    loaded = gs.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.state_dict()["0.weight"], weights)
    if not callable(init) or isinstance(init, Normal | Uniform):
        np.testing.assert_array_equal(
            loaded.init(7).state_dict()["0.weight"],
            gs.Sequential(gs.Linear(200, 300, init=init)).init(7).state_dict()["0.weight"],
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: named("normal(0)"), "'normal\\(0\\)' is not known; expected one of: glorot"),
        (lambda: named("normal(0, x)"), "expected numbers"),
        (lambda: named("normal(0, 0)"), "std is 0.0"),
        (lambda: Uniform(1, 1), "low is 1; expected a number below high"),
        (lambda: Normal(float("nan")), "mean is nan; expected a finite number"),
        (lambda: named(3), "init 3 is not known"),  # pyright: ignore
        (lambda: gs.Linear(2, 2, init=lambda random, shape: np.zeros(3)).init(0), r"shape \(3,\) for \(2, 2\)"),
    ],
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises(gs.ConfigurationError, match=message):
        make()
