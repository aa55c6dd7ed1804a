"""Logistic regression: a network without hidden layers, which has a unique minimum."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from . import checks
from .classifier import NetworkClassifier


class LogisticRegression(NetworkClassifier):
    """Logistic regression with an L2 penalty: binary, multinomial, or one for each label.

    It minimises C · Σ losses + Σ weights² / 2, as ``sklearn.linear_model.LogisticRegression`` does. The parameters have
    the same names and meanings.

    Parameters
    ----------
    C : inverse strength of the penalty, above 0.
    tol : tolerance of the gradient with solver ``"lbfgs"``, otherwise of the loss.
    fit_intercept : whether to add intercepts, which are not penalised.
    class_weight : factors of the sample weights, ``{class: factor}`` or ``"balanced"``, or None.
    random_state : determines the row order with solvers ``"adam"`` and ``"sgd"``.
    solver : ``"lbfgs"`` uses all rows at once; ``"adam"`` and ``"sgd"`` use batches and support `partial_fit`.
    max_iter : maximum number of iterations, or of epochs.
    warm_start : start from the existing weights.
    batch_size, learning_rate_init, n_iter_no_change, backend, dtype : as in `MLPClassifier`.

    Examples
    --------
    >>> model = gs.LogisticRegression(C=0.5).fit(x / 16, y)
    >>> model.coef_.shape
    (10, 64)
    """

    C: float
    _checks: ClassVar[dict[str, checks.Check]] = {
        "C": checks.real(0, above=True),
        "fit_intercept": checks.FLAG,
        **checks.COMMON,
    }
    _lbfgs_options: ClassVar[dict[str, float]] = {"ftol": 64 * float(np.finfo(float).eps)}  # the gradient decides

    def __init__(
        self,
        C: float = 1.0,
        *,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        class_weight: Any = None,
        random_state: Any = None,
        solver: str = "lbfgs",
        max_iter: int = 100,
        verbose: bool | int = False,
        warm_start: bool = False,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.001,
        n_iter_no_change: float = 10,
        backend: str | None = "auto",
        dtype: str = "auto",
    ) -> None:
        self._keep(locals())

    @property
    def alpha(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Strength of the penalty, as `MLPClassifier` has it."""
        return 1 / self.C

    @property
    def coef_(self) -> np.ndarray:
        """Weights: (1, features) for two classes, else (classes, features)."""
        return self.coefs_[0].T

    @property
    def intercept_(self) -> np.ndarray:
        """Intercepts: (1,) for two classes, else (classes,)."""
        return self.intercepts_[0]

    def _begin(self, shapes: list[tuple[int, int]], random: np.random.RandomState, dtype: np.dtype) -> None:
        """All weights start at 0, because there is only one minimum."""
        self.coefs_, self.intercepts_ = [np.zeros(shapes[0], dtype)], [np.zeros(shapes[0][1], dtype)]
        self._forget(2, shapes[0][1])
