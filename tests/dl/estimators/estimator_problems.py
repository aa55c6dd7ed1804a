"""Small classification and regression problems for the tests of the estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes, load_digits, make_classification, make_multilabel_classification


def problem(name: str) -> Any:
    """x and y, as float64."""
    x: Any
    y: Any
    if name == "digits":
        x, y = load_digits(return_X_y=True)
        return x[:450] / 16, y[:450]
    if name == "two classes":
        return make_classification(210, random_state=0)
    if name == "labels":
        return make_multilabel_classification(210, random_state=0)
    x, y = load_diabetes(return_X_y=True)
    y = (y - 150) / 75
    return x * 20, y if name == "a value" else np.stack([y, y**2], axis=1)
