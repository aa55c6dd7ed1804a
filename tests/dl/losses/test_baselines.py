"""The least loss of one answer for all rows, below which something was learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError
from gearshift.dl.diagnostics.learning_rates import learning_rate_trials

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4))
DEGREES = np.round(10 * X[:, 0] + 3).astype(int)
SIGNS = np.where(X[:, 0] > 0, 1, -1)


def trainer(loss: gs.Loss, outputs: int = 1, backend: str = "numpy", dtype: str = "float32", **options: Any) -> Any:
    model = gs.Sequential(gs.Linear(4, outputs), dtype=dtype)
    return gs.Trainer(model, loss, gs.Adam(lr=0.1), backend=backend, **options)


def prices(offset: float = 3e5, spread: float = 1e5) -> np.ndarray:
    return offset + spread * (X @ [1.0, -0.5, 0.2, 0.0] + 0.1 * np.random.default_rng(1).normal(size=200))


def constant_loss(loss: gs.Loss, y: np.ndarray, outputs: int) -> float:
    """The least loss of one answer for all rows, found by training biases alone."""
    x = np.zeros((len(y), 4))
    run = trainer(loss, outputs, dtype="float64")
    for rate in (0.3, 0.03, 0.003):
        run.optimizer.lr = rate
        run.fit(x, y, epochs=150, batch_size=len(y), verbose=False)
    return run.evaluate(x, y)["loss"]


@pytest.mark.parametrize(
    ("loss", "y", "outputs"),
    [
        (gs.MSELoss(), X[:, :2] * 3 + 1, 2),
        (gs.CrossEntropyLoss(), RANDOM.choice(3, 200, p=[0.7, 0.2, 0.1]), 3),
        (gs.SoftCrossEntropyLoss(), RANDOM.dirichlet([1.0, 2.0, 5.0], 200), 3),
        (gs.BCEWithLogitsLoss(), (RANDOM.random((200, 2)) < [0.1, 0.4]).astype(float), 2),
        (gs.HingeLoss(), np.where(RANDOM.random(200) < 0.2, 1, -1), 1),
        (gs.MulticlassHingeLoss(), RANDOM.choice(3, 200, p=[0.7, 0.2, 0.1]), 3),
        (gs.MulticlassHingeLoss(), np.arange(200) % 3, 3),
    ],
)
def test_baselines_are_the_least_losses_of_one_answer(loss: gs.Loss, y: np.ndarray, outputs: int) -> None:
    found = loss.baseline(gs.Dataset(X, y).y, np.full(200, 1 / 200))
    assert found == pytest.approx(constant_loss(loss, y, outputs), rel=5e-3)


def test_no_learning_rate_is_named_where_nothing_was_learned() -> None:
    def make(rate: float) -> gs.Trainer:
        return gs.Trainer(gs.Sequential(gs.Linear(4, 1)), gs.MSELoss(), gs.Adam(lr=rate), backend="numpy", seed=0)

    trials = learning_rate_trials(make, X, prices(), rates=[1e-3, 1e-2], iterations=20)
    assert min(row.loss for row in trials.rows) < trials.before  # it fell, and that is nothing yet
    with pytest.raises(ConfigurationError, match=r"no better than the mean .*standardize_target"):
        _ = trials.best
    good = learning_rate_trials(make, X, X[:, 0], rates=[1e-3, 1e-1], iterations=50)
    assert good.best == 1e-1
