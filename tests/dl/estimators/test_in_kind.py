"""Arrays of other libraries, dispatched by scikit-learn: answers are of the same kind, and the numbers are NumPy's.

SciPy reads SCIPY_ARRAY_API when it is imported, so this runs in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

CODE = """
import sys, numpy as np, sklearn, gearshift as gs
xp = __import__(sys.argv[1])
x = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
weight, labels = np.linspace(0, 1, 80), (x[:, :2] > 0).sum(axis=1)
targets = {"MLPClassifier": labels, "LogisticRegression": labels, "MLPRegressor": x[:, 0], "Autoencoder": None}
for name, y in targets.items():
    make = lambda **more: getattr(gs, name)(max_iter=5, random_state=0, backend="numpy", **more)
    plain = make().fit(x, y, weight)
    assert plain.__sklearn_tags__().array_api_support
    given = xp.asarray(x), None if y is None else xp.asarray(y), xp.asarray(weight)
    answer_of = "predict" if hasattr(plain, "predict") else "transform"
    assert type(getattr(make().fit(*given), answer_of)(given[0])) is np.ndarray  # not dispatched
    with sklearn.config_context(array_api_dispatch=True):
        other = make().fit(*given)
        for method in ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform"):
            if hasattr(plain, method):
                answer = getattr(other, method)(given[0])
                assert type(answer) is type(given[0]), (method, type(answer))
                np.testing.assert_array_equal(np.asarray(answer), getattr(plain, method)(x))
        try:
            getattr(other, answer_of)(x)
        except ValueError as error:
            assert "must use the same namespace" in str(error)
        else:
            raise AssertionError("an answer for an array of another library than that of fit")
        if y is None:
            assert type(other.inverse_transform(other.transform(given[0]))) is type(given[0])
        else:
            assert abs(float(other.score(*given)) - plain.score(x, y, weight)) < 1e-6
        if y is labels:
            assert type(other.classes_) is type(given[0])
            assert make(class_weight="balanced").fit(*given).classes_.shape == (3,)
            named = make().fit(given[0], np.array(["ape", "bat", "cow"])[labels])
            assert named.predict(given[0]).dtype.kind == "U"  # other libraries have no text
"""


@pytest.mark.parametrize("module", ["array_api_strict", pytest.param("torch", marks=pytest.mark.torch)])
def test_answers_in_kind(module: str) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    environment = {**os.environ, "SCIPY_ARRAY_API": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "ignore", "-c", CODE, module]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
