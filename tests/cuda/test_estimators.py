"""CuPy arrays given to the estimators: answers are CuPy arrays with the numbers for NumPy arrays.

SciPy reads SCIPY_ARRAY_API when it is imported, so this runs in processes of their own.
"""

from __future__ import annotations

import pytest
from processes import run

SCRIPT = """
import sys, warnings
import cupy, numpy as np, sklearn, gearshift as gs
warnings.simplefilter("ignore")  # three epochs do not converge
x = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
weight, labels = np.linspace(0, 1, 80), (x[:, :2] > 0).sum(axis=1)

def answers_are_of_the_kind_of_the_rows(make, y, given):
    plain = make().fit(x, y, weight)
    with sklearn.config_context(array_api_dispatch=True):
        other = make().fit(*given)
        answered = 0
        for method in ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform"):
            if hasattr(plain, method):
                answer = getattr(other, method)(given[0])
                assert type(answer) is cupy.ndarray, (method, type(answer))
                np.testing.assert_array_equal(cupy.asnumpy(answer), getattr(plain, method)(x))
                answered += 1
        assert answered == {"MLPRegressor": 1, "Autoencoder": 1}.get(name, 4)
        if y is None:
            codes = other.transform(given[0])
            rows = other.inverse_transform(codes)
            assert type(rows) is cupy.ndarray
            np.testing.assert_array_equal(cupy.asnumpy(rows), plain.inverse_transform(plain.transform(x)))
        else:
            assert abs(float(other.score(*given)) - plain.score(x, y, weight)) < 1e-6
        if y is labels:
            assert type(other.classes_) is cupy.ndarray
            assert type(make(class_weight="balanced").fit(*given).predict(given[0])) is cupy.ndarray
        if hasattr(plain, "partial_fit") and y is not None:
            options = {"classes": cupy.unique(given[1])} if y is labels else {}
            assert type(make().partial_fit(*given[:2], **options).predict(given[0])) is cupy.ndarray

def without_dispatch_the_error_says_what_to_do(make, y, given):
    for fitted in ((given[0], y), (x, given[1])) if y is not None else ((given[0], None),):
        try:
            make().fit(*fitted)
        except gs.DataError as error:
            assert "array_api_dispatch" in str(error), error
        else:
            raise AssertionError("an array on the GPU, where scikit-learn does not dispatch")

check, backend = sys.argv[1:]
for name in "MLPClassifier", "MLPRegressor", "LogisticRegression", "Autoencoder":
    print(name, flush=True)
    y = {"MLPRegressor": x[:, 0], "Autoencoder": None}.get(name, labels)
    given = cupy.asarray(x), None if y is None else cupy.asarray(y), cupy.asarray(weight)
    make = lambda **options: getattr(gs, name)(max_iter=3, random_state=0, backend=backend, **options)
    globals()[check](make, y, given)
"""


@pytest.mark.parametrize("backend", ["cupy", "numpy"])
def test_answers_are_of_the_kind_of_the_rows(backend: str) -> None:
    run("-c", SCRIPT, "answers_are_of_the_kind_of_the_rows", backend, machine={"SCIPY_ARRAY_API": "1"})


def test_without_dispatch_the_error_says_what_to_do() -> None:
    run("-c", SCRIPT, "without_dispatch_the_error_says_what_to_do", "numpy")
