"""Mistakes and interrupts in the estimators' fits."""

from __future__ import annotations

import signal
import warnings
from typing import Any

import numpy as np
import pytest
from estimator_problems import problem
from sklearn.exceptions import ConvergenceWarning

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, DataError, NonFiniteLoss

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"solver": "newton"}, "solver is 'newton'; expected one of: lbfgs, sgd, adam"),
        ({"alpha": -1}, "alpha is -1; expected a number of at least 0"),
        ({"batch_size": 0}, "batch_size is 0; expected an integer of at least 1, or 'auto'"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes is .* must be > 0"),
        ({"dropout": 1}, "dropout is 1; expected a number of at least 0 and below 1"),
        ({"dropout": 0.5, "solver": "lbfgs"}, "dropout"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"backend": "abacus"}, "backend 'abacus' is not known"),
        ({"early_stopping": True, "validation_fraction": 0.001}, "expected at least 2: raise validation_fraction"),
    ],
    ids=str,
)
def test_a_mistake_is_named(parameters: dict[str, Any], message: str) -> None:
    x, y = problem("digits")
    with pytest.raises(ConfigurationError, match=message):
        gs.MLPClassifier(**parameters).fit(x, y)


def test_mistakes_in_data() -> None:
    x, y = problem("two classes")
    with pytest.raises(DataError, match="sample_weight is from -1 to 1"):
        gs.MLPClassifier().fit(x, y, np.where(y, -1.0, 1.0))
    with pytest.raises(DataError, match="several classes"):
        gs.MLPClassifier().fit(x, np.stack([y, y + 1], axis=1))
    with pytest.raises(DataError, match="no classes beside"):
        gs.MLPClassifier().fit(x, y).partial_fit(x, y + 1)
    with pytest.raises(ConfigurationError, match="loss is 'poisson'; expected one of: squared_error"):
        gs.MLPRegressor(loss="poisson").fit(x, y)
    with pytest.raises(NonFiniteLoss, match="lower learning_rate_init"):
        gs.MLPRegressor(solver="sgd", learning_rate_init=1e9).fit(x, y * 1e9)


def test_it_says_that_it_did_not_converge(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = problem("two classes")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning, match="max_iter=2"):
            gs.MLPClassifier(max_iter=2, verbose=True).fit(x, y)
    assert "Iteration 2, loss = " in capsys.readouterr().out


class Presses(np.random.RandomState):
    """Ctrl-C as the first epoch's rows are shuffled, and not as they are split."""

    def shuffle(self, x: Any) -> None:
        super().shuffle(x)
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupt_before_anything_was_validated_keeps_the_weights_there_are() -> None:
    """Not those of an earlier fit, which may have other shapes."""
    for x, y in (problem("two classes"), problem("digits")):
        stopped = gs.MLPClassifier(early_stopping=True, max_iter=3, random_state=0)
        if len(x) > 400:
            stopped.fit(*problem("two classes"))
        stopped.set_params(random_state=Presses(0))
        with pytest.warns(UserWarning, match="interrupted"):
            stopped.fit(x, y)
        assert stopped.coefs_[0].shape[0] == x.shape[1]
        assert len(stopped.predict(x)) == len(y)
