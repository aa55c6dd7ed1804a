"""Weights of classes and rows in the estimators, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from estimator_problems import problem
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight

import gearshift as gs
from gearshift.backends.errors import ConfigurationError

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]


def test_balanced_classes_leave_out_one_whose_rows_weigh_nothing() -> None:
    x, y = problem("digits")
    weights = np.where(y == 3, 0.0, 1.0 + y % 2)
    ours = gs.LogisticRegression(class_weight="balanced", max_iter=300, tol=1e-8).fit(x, y, weights)
    kept = y != 3
    rest = gs.LogisticRegression(class_weight="balanced", max_iter=300, tol=1e-8).fit(x[kept], y[kept], weights[kept])
    probabilities = ours.predict_proba(x[kept])
    assert np.max(np.abs(np.delete(probabilities, 3, axis=1) - rest.predict_proba(x[kept]))) < 1e-2


@pytest.mark.parametrize("name", ["two classes", "digits"])
@pytest.mark.parametrize("kind", [gs.MLPClassifier, gs.LogisticRegression])
def test_class_weights_are_the_same_weights_of_rows(kind: Any, name: str) -> None:
    x, y = problem(name)
    names = np.array([f"class {label}" for label in y])
    class_weight = dict.fromkeys(np.unique(names).tolist(), 1.0) | {"class 1": 7.0}
    for given in ("balanced", class_weight, {"class 1": 7.0} if len(class_weight) == 2 else class_weight):
        options = {"max_iter": 8, "random_state": 0}
        weights = compute_sample_weight(given, names)
        own = kind(class_weight=given, **options).fit(x, names)
        plain = kind(**options).fit(x, names, sample_weight=weights)
        assert all(np.array_equal(*pair) for pair in zip(own.coefs_, plain.coefs_, strict=True))
        sample = np.random.default_rng(0).uniform(0.5, 2, len(y))
        if given != "balanced":
            own = kind(class_weight=given, **options).fit(x, names, sample_weight=sample)
            plain = kind(**options).fit(x, names, sample_weight=sample * weights)
            assert all(np.array_equal(*pair) for pair in zip(own.coefs_, plain.coefs_, strict=True))


def test_logistic_regression_with_class_weights_is_scikit_learn_s() -> None:
    x, y = problem("two classes")
    for given in ("balanced", {0: 1.0, 1: 9.0}, {1: 9.0}):
        ours = gs.LogisticRegression(class_weight=given, max_iter=500, tol=1e-8).fit(x, y)
        theirs = LogisticRegression(class_weight=given, max_iter=500, tol=1e-8).fit(x, y)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)


@pytest.mark.parametrize("kind", [gs.MLPClassifier, gs.LogisticRegression])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({7: 50.0}, "not in class_weight"),
        ({1: float("nan")}, "rows have weights from nan"),
        ({0: 0.0, 1: 0.0}, "rows have weights from 0 to 0"),
        ({0: -1.0, 1: 2.0}, "rows have weights from -1 to 2"),
        ("even", "class_weight|balanced"),
    ],
)
def test_class_weights_that_are_none_are_refused(kind: Any, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(class_weight=given, max_iter=2).fit(*problem("two classes"))


def test_balanced_weights_need_all_rows() -> None:
    x, y = problem("two classes")
    with pytest.raises(ConfigurationError, match="'balanced' needs all rows, and partial_fit sees some"):
        gs.MLPClassifier(class_weight="balanced").partial_fit(x, y, classes=[0, 1])
    weighted = gs.MLPClassifier(class_weight={1: 4.0}, random_state=0).partial_fit(x, y, classes=[0, 1])
    plain = gs.MLPClassifier(random_state=0).partial_fit(x, y, np.where(y == 1, 4.0, 1.0), classes=[0, 1])
    assert np.array_equal(weighted.predict_proba(x), plain.predict_proba(x))


def test_sample_weights_of_an_autoencoder_are_repeated_rows() -> None:
    """One batch of all rows: a weight of 2 is a row given twice."""
    x, _ = problem("digits")
    x = x[:40]
    weights = np.repeat([1.0, 2.0], 20)
    options: dict[str, Any] = {"max_iter": 5, "random_state": 0, "shuffle": False}
    ours = gs.Autoencoder(3, (8,), batch_size=40, **options).fit(x, sample_weight=weights)
    other = gs.Autoencoder(3, (8,), batch_size=60, **options).fit(np.concatenate([x, x[20:]]))
    for mine, theirs in zip(ours.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-9)
    assert ours.score(x, sample_weight=weights) == pytest.approx(ours.score(np.concatenate([x, x[20:]])))
