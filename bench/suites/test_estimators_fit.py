"""Fits of the estimators beside scikit-learn's, from the same weights and batches.

    pytest bench/suites/test_estimators_fit.py --benchmark-only -k "digits" --benchmark-columns=min,median,rounds

`extra_info` has the accuracy on rows that were not trained on, and the number of epochs.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import gearshift as gs

EPOCHS = {"tiny": 200, "digits": 60, "table": 10, "fashion": 4}
LIBRARIES: dict[str, Any] = {"gearshift": gs.MLPClassifier, "sklearn": MLPClassifier}


@cache
def rows(name: str) -> list[Any]:
    """Training and test rows, training and test labels."""
    if name == "fashion":
        try:
            splits = gs.load_dataset("fashion-mnist", validation=0)
        except gs.DataError as error:
            pytest.skip(f"needs the Fashion-MNIST files: {error}")
        train, test = splits.train, splits.test
        return [train.x.reshape(-1, 784) / 255, test.x.reshape(-1, 784) / 255, train.y, test.y]
    if name == "digits":
        x, y = load_digits(return_X_y=True)
        return train_test_split(np.asarray(x) / 16, y, test_size=0.2, random_state=0)
    size = 100_000 if name == "table" else 150
    x, y = make_classification(size, 20, n_informative=10, random_state=0)
    return train_test_split(x, y, test_size=0.2, random_state=0)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("name", EPOCHS)
def test_fit(benchmark: Any, name: str, dtype: str, library: str) -> None:
    """A whole fit of 100 hidden units with everything at its defaults but the number of epochs."""
    x, held_out, y, answers = rows(name)
    x, held_out = x.astype(dtype), held_out.astype(dtype)
    kind = LIBRARIES[library]

    def fit() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return kind(random_state=0, max_iter=EPOCHS[name]).fit(x, y)

    benchmark.group = f"fit {name}, {dtype}"
    kind(max_iter=1, random_state=0).fit(x[:300], y[:300])  # compiles, which is not timed
    model = benchmark.pedantic(fit, rounds=3)
    benchmark.extra_info.update(accuracy=model.score(held_out, answers), epochs=model.n_iter_)
