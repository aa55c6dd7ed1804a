"""Symmetries of the weights, and bias and variance over resampled sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, DataError
from gearshift.dl.diagnostics.resampling import BiasVariance

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((9, 3))
ACTIVATIONS = {"relu": gs.ReLU, "tanh": gs.Tanh, "sigmoid": gs.Sigmoid, "gelu": gs.GELU, "softplus": gs.Softplus}


def outputs(weights: dict[str, np.ndarray], activation: str, hidden: int) -> np.ndarray:
    model = gs.Sequential(gs.Linear(3, hidden), ACTIVATIONS[activation](), gs.Linear(hidden, 2), dtype="float64")
    model.load_state_dict(weights)
    return gs.Trainer(model, gs.MSELoss(), gs.SGD(), backend="numpy").predict(X)


def drawn(hidden: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {"0.weight": (3, hidden), "0.bias": (hidden,), "2.weight": (hidden, 2), "2.bias": (2,)}
    return {name: random.standard_normal(shape) for name, shape in shapes.items()}


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 8), st.integers(0, 99), st.sampled_from(sorted(ACTIVATIONS)), st.randoms(use_true_random=False))
def test_hidden_units_may_change_places(hidden: int, seed: int, activation: str, shuffler: Random) -> None:
    order = list(range(hidden))
    shuffler.shuffle(order)
    w = drawn(hidden, seed)
    moved = {**w, "0.weight": w["0.weight"][:, order], "0.bias": w["0.bias"][order], "2.weight": w["2.weight"][order]}
    assert np.max(np.abs(outputs(w, activation, hidden) - outputs(moved, activation, hidden))) <= 1e-13


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 8), st.integers(0, 99), st.floats(1e-3, 1e3))
def test_a_relu_unit_may_be_scaled(hidden: int, seed: int, a: float) -> None:
    w = drawn(hidden, seed)
    scaled = {**w, "0.weight": a * w["0.weight"], "0.bias": a * w["0.bias"], "2.weight": w["2.weight"] / a}
    assert np.max(np.abs(outputs(w, "relu", hidden) - outputs(scaled, "relu", hidden))) <= 1e-12
    if hidden > 1 and abs(a - 1) > 0.1:  # and tanh units may not
        assert not np.allclose(outputs(w, "tanh", hidden), outputs(scaled, "tanh", hidden), rtol=0, atol=1e-6)


def test_the_mean_as_model_has_the_variance_that_is_known() -> None:
    """A bootstrap mean of n numbers has the variance σ² / n of these numbers; its bias is their distance from y."""
    y = RANDOM.standard_normal(50)

    def fit(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda rows: np.full(len(rows), y.mean())

    parts = gs.bias_variance(fit, y, y, np.zeros(40), np.ones(40), draws=4000)
    assert parts.variance == pytest.approx(y.var() / 50, rel=0.1)
    assert parts.bias == pytest.approx((1 - y.mean()) ** 2, rel=0.05)
    assert parts.error == pytest.approx(parts.bias + parts.variance, rel=1e-12)
    assert np.isnan(parts.irreducible)


@pytest.mark.parametrize("drawn", [True, False])
def test_fresh_sets_have_the_bias_and_variance_of_the_population(drawn: bool) -> None:
    """The mean of 10 numbers of N(3, 2²): bias (3 − 2.5)², variance 4 / 10; those of one set would be its own."""

    def fit(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda rows: np.full(len(rows), y.mean())

    def sample(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        y = random.normal(3, 2, 10)
        return y[:, None], y

    rows, known = np.zeros((4, 1)), np.full(4, 2.5)
    if drawn:
        parts = gs.bias_variance(fit, sample, None, rows, known, draws=4000)
    else:
        y = np.random.default_rng(5).normal(3, 2, 40_000)
        parts = gs.bias_variance(fit, y[:, None], y, rows, known, rows=10, draws=4000)
    assert parts.fresh
    assert parts.bias == pytest.approx(0.25, abs=0.05)
    assert parts.variance == pytest.approx(0.4, rel=0.08)  # four standard errors


def test_sets_of_rows_are_disjoint_and_the_picture_shows_them(tmp_path: Path) -> None:
    seen: list[float] = []

    def fit(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        seen.extend(x[:, 0].tolist())
        slope = (x[:, 0] @ y) / (x[:, 0] @ x[:, 0])
        return lambda rows: slope * rows[:, 0]

    x, rows = np.arange(1.0, 21)[:, None], np.array([[2.0], [1.0]])
    parts = gs.bias_variance(fit, x, x[:, 0] ** 2, rows, np.array([4.0, 1.0]), rows=5, draws=4)
    assert sorted(seen) == x[:, 0].tolist()
    with pytest.raises(ConfigurationError, match="4 sets of 6 rows are not in the 20 rows of x"):
        gs.bias_variance(fit, x, x[:, 0], rows, rows[:, 0], rows=6, draws=4)
    with pytest.raises(ConfigurationError, match="y and rows are not used"):
        gs.bias_variance(fit, lambda random: (x, x[:, 0]), x[:, 0], rows, rows[:, 0])
    pytest.importorskip("matplotlib")
    bars, curves = parts.plot(tmp_path / "parts.png").axes
    assert [bar.get_height() for bar in bars.patches] == [parts.bias, parts.variance, parts.error]
    np.testing.assert_allclose(curves.lines[-2].get_ydata(), parts.predictions.mean(axis=0)[::-1])  # by the feature
    assert (tmp_path / "parts.png").stat().st_size > 1000


def test_capacity_lowers_bias_and_raises_variance() -> None:
    random = np.random.default_rng(1)
    x, rows = random.uniform(-1, 1, (40, 1)), np.linspace(-1, 1, 200)[:, None]
    truth = np.sin(4 * rows[:, 0])
    y, y_test = np.sin(4 * x[:, 0]) + 0.3 * random.standard_normal(40), truth + 0.3 * random.standard_normal(200)

    def polynomial(degree: int) -> BiasVariance:
        def fit(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
            coefficients = np.polyfit(x[:, 0], y, degree)
            return lambda rows: np.polyval(coefficients, rows[:, 0])

        return gs.bias_variance(fit, x, y, rows, y_test, truth=truth, draws=50)

    low, right, high = (polynomial(degree) for degree in (1, 5, 11))
    assert low.bias > 5 * right.bias
    assert high.variance > 5 * right.variance
    assert right.error < min(low.error, high.error)
    assert right.irreducible == pytest.approx(0.09, rel=0.2)
    assert right.error == pytest.approx(right.bias + right.variance + right.irreducible, rel=0.2)


def test_what_does_not_fit_is_refused() -> None:
    def fit(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda rows: np.zeros((len(rows), 2))

    with pytest.raises(ConfigurationError, match="draws is 1"):
        gs.bias_variance(fit, X, X[:, 0], X, X[:, 0], draws=1)
    with pytest.raises(DataError, match=r"\(9, 2\), y_test \(9,\)"):
        gs.bias_variance(fit, X, X[:, 0], X, X[:, 0])
    with pytest.raises(DataError, match=r"truth has the shape \(9, 1\), y_test \(9,\)"):
        gs.bias_variance(lambda x, y: lambda rows: np.zeros(len(rows)), X, X[:, 0], X, X[:, 0], truth=X[:, :1])
