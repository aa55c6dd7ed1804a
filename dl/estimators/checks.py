"""Checks of the estimators' parameters. As in scikit-learn, `fit` checks them, not the constructor."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from ...backends.errors import ConfigurationError

Check = tuple[Callable[[Any], bool], str]


def real(low: float, high: float = math.inf, *, above: bool = False, below: bool = False) -> Check:
    """A number of at least `low` and at most `high`; with `above` or `below` not `low` or `high` itself."""

    def holds(value: Any) -> bool:
        if not isinstance(value, Real) or isinstance(value, bool):
            return False
        value = float(value)
        return (value > low if above else value >= low) and (value < high if below else value <= high)

    upper = "" if high == math.inf else f" and {'below' if below else 'at most'} {high:g}"
    return holds, f"a number {'above' if above else 'of at least'} {low:g}{upper}"


def whole(low: int) -> Check:
    """An integer of at least `low`."""
    return lambda value: is_whole(value) and value >= low, f"an integer of at least {low}"


def one_of(*names: str) -> Check:
    """One of some words."""
    return lambda value: isinstance(value, str) and value in names, f"one of: {', '.join(names)}"


def either(check: Check, *others: Any) -> Check:
    """What `check` lets pass, or one of some other values."""
    holds, text = check
    return lambda value: value in others or holds(value), f"{text}, or {' or '.join(map(repr, others))}"


def widths(value: Any) -> list[int]:
    """`hidden_layer_sizes` as a list: of one number, or of several."""
    sizes: list[Any] = list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    if not all(is_whole(size) and size >= 1 for size in sizes):
        raise ConfigurationError(
            f"hidden_layer_sizes is {value!r}; expected integers of at least 1: hidden_layer_sizes must be > 0"
        )
    return [int(size) for size in sizes]


def is_whole(value: Any) -> bool:
    """Whether it is an integer and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


FLAG: Check = (lambda value: isinstance(value, bool) or type(value).__name__ == "bool", "True or False")

COMMON: dict[str, Check] = {
    "activation": one_of("identity", "logistic", "tanh", "relu"),
    "solver": one_of("lbfgs", "sgd", "adam"),
    "alpha": real(0),
    "batch_size": either(whole(1), "auto"),
    "learning_rate": one_of("constant", "invscaling", "adaptive"),
    "learning_rate_init": real(0, above=True),
    "power_t": real(0),
    "max_iter": whole(1),
    "shuffle": FLAG,
    "tol": real(0),
    "warm_start": FLAG,
    "momentum": real(0, 1),
    "nesterovs_momentum": FLAG,
    "early_stopping": FLAG,
    "validation_fraction": real(0, 1, below=True),
    "beta_1": real(0, 1, below=True),
    "beta_2": real(0, 1, below=True),
    "epsilon": real(0, above=True),
    "n_iter_no_change": either(whole(1), math.inf),
    "max_fun": whole(1),
    "dtype": one_of("auto", "float32", "float64"),
    "dropout": real(0, 1, below=True),
}


def check(estimator: Any, checks: dict[str, Check]) -> None:
    """Raises `ConfigurationError` for the first parameter that is not what it may be."""
    for name, (holds, expected) in checks.items():
        value = getattr(estimator, name)
        if not holds(value):
            raise ConfigurationError(f"{type(estimator).__name__}: {name} is {value!r}; expected {expected}")


def goes_stepwise(estimator: Any) -> bool:
    """Whether the solver is stochastic, which `partial_fit` needs."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit needs solver 'adam' or 'sgd'; solver is 'lbfgs'")
    return True
