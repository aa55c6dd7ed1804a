"""Accuracy on Fashion-MNIST, against scikit-learn's figure for the same network (arXiv 1708.07747, table 3)."""

from __future__ import annotations

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import DataError


def accuracy(backend: str, seed: int, epochs: int) -> float:
    """Test accuracy of MLP [100] with ReLU on standardised input."""
    try:
        data = gs.load_dataset("fashion-mnist", seed=seed)
    except DataError as error:
        pytest.skip(f"needs the Fashion-MNIST files: {error}")
    standardize = gs.Standardize(784).fit(*data.standardization())
    model = gs.Sequential(standardize, gs.Linear(784, 100), gs.ReLU(), gs.Linear(100, 10))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=1e-3), backend=backend, seed=seed)
    trainer.fit(data.train, epochs=epochs, batch_size=128, verbose=False)
    return trainer.evaluate(data.test)["accuracy"]


@pytest.mark.fashion
@pytest.mark.long
def test_one_seed_reaches_the_published_accuracy() -> None:
    """Ten epochs come within a seed's spread of scikit-learn's 0.871."""
    assert accuracy("numba", seed=0, epochs=10) >= 0.865


@pytest.mark.fashion
@pytest.mark.long
@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_mean_of_five_seeds(backend: str) -> None:
    """The mean of five seeds is at least scikit-learn's 0.871."""
    assert np.mean([accuracy(backend, seed, epochs=10) for seed in range(5)]) >= 0.871
