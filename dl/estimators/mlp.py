"""Multilayer perceptrons for classification and regression, compatible with scikit-learn's."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d, validate_data

from ..step.plan import underflowing
from . import checks
from .base import Perceptron
from .classifier import NetworkClassifier
from .in_kind import in_kind, taken
from .rows import checked_weights, dense


class MLPClassifier(NetworkClassifier):
    """A multilayer perceptron for binary, multiclass and multilabel classification.

    Parameters and attributes are those of ``sklearn.neural_network.MLPClassifier``, and in addition:

    Parameters
    ----------
    backend : backend for training and prediction; ``"auto"``, or a name of `gearshift.backends.available`.
    dtype : ``"float32"`` or ``"float64"``; ``"auto"`` is float32 if X is float32, otherwise float64.
    dropout : dropout rate of the hidden units in training, at least 0 and below 1.
    class_weight : factors of the sample weights, ``{class: factor}`` or ``"balanced"``, or None.

    Attributes
    ----------
    backend_ : name of the backend that trained.

    Examples
    --------
    >>> model = gs.MLPClassifier(hidden_layer_sizes=(32,), max_iter=20, random_state=0).fit(x, y)
    >>> model.predict_proba(x[:3]).shape
    (3, 10)
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        backend: str | None = "auto",
        dtype: str = "auto",
        dropout: float = 0.0,
        class_weight: Any = None,
    ) -> None:
        self._keep(locals())


class MLPRegressor(RegressorMixin, Perceptron):
    """A multilayer perceptron for regression with one or several targets.

    Parameters and attributes are those of ``sklearn.neural_network.MLPRegressor``, and in addition `backend`, `dtype`
    and `dropout` of `MLPClassifier`.

    Examples
    --------
    >>> model = gs.MLPRegressor(hidden_layer_sizes=(32,), max_iter=20, random_state=0).fit(x, x[:, 20])
    >>> model.predict(x[:3]).shape
    (3,)
    """

    loss: str
    _checks: ClassVar[dict[str, checks.Check]] = {"loss": checks.one_of("squared_error"), **checks.COMMON}

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        backend: str | None = "auto",
        dtype: str = "auto",
        dropout: float = 0.0,
    ) -> None:
        self._keep(locals())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains on X (rows, features) and values y (rows,) or (rows, outputs); rows may have weights (rows,)."""
        return self._fit_values(X, y, sample_weight, incremental=False)

    @available_if(checks.goes_stepwise)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains for one more epoch on X and y."""
        return self._fit_values(X, y, sample_weight, incremental=True)

    @in_kind
    def predict(self, X: Any) -> np.ndarray:
        """The predictions for each row: (rows,), or (rows, outputs) with several targets."""
        outputs = self._outputs(X)
        return outputs.reshape(-1) if self.n_outputs_ == 1 else outputs

    @underflowing
    def _fit_values(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Self:
        first = self._first(X, incremental)
        kind = {"multi_output": True, "y_numeric": True, "dtype": self._dtypes(first), "order": "C"}
        X, y = validate_data(self, dense(X), taken(y), reset=first, **kind)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        targets = np.ascontiguousarray(y, X.dtype).reshape(len(y), -1)
        self.out_activation_ = "identity"
        self._fit(X, targets, targets.shape[1], checked_weights(sample_weight, X), first, incremental)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
