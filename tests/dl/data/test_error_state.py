"""Under a user's `numpy.errstate(all="raise")`, numbers that become zero harmlessly raise nothing."""

from __future__ import annotations

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.data import Dataset

FEATURES, CLASSES = 5, 3


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_underflow_that_harms_nothing_raises_nowhere(backend: str) -> None:
    random = np.random.default_rng(0)
    x, labels = random.normal(0, 300, (43, FEATURES)), random.integers(0, CLASSES, 43)
    tiny = np.full((4, FEATURES), 1e-300)
    standardize = gs.Standardize(FEATURES).fit(np.full(FEATURES, 0.5), np.full(FEATURES, 2.0))
    model = gs.Sequential(standardize, gs.Linear(FEATURES, 4), gs.ReLU(), gs.Dropout(0.2), gs.Linear(4, CLASSES))
    smooth = gs.Sequential(gs.Linear(FEATURES, 4), gs.Tanh(), gs.Linear(4, CLASSES))
    with np.errstate(all="raise"):
        trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend=backend, seed=1)
        trainer.fit(x, labels, validation=(x, labels), epochs=2, verbose=False)
        trainer.evaluate(x, labels, report=True)
        trainer.predict(tiny)
        share = trainer.predict_proba(x * 1000)
        gs.value_and_grad(smooth, gs.CrossEntropyLoss(), tiny, [0, 1, 2, 0])
        gs.MLPClassifier((4,), max_iter=2, backend=backend).fit(x, labels).predict_proba(x * 1000)
        Dataset(tiny.astype(np.longdouble) ** 2)
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-6)
