"""Multilayer perceptrons for classification and regression, in place of scikit-learn's."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d, validate_data

from ...backends.errors import ConfigurationError
from ..losses import MSELoss
from . import checks
from .base import Perceptron
from .descent import Objective
from .labels import Labels


def goes_stepwise(estimator: Any) -> bool:
    """Whether the solver goes step by step, as `partial_fit` needs it."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit needs solver 'adam' or 'sgd'; solver is 'lbfgs'")
    return True


class MLPClassifier(ClassifierMixin, Perceptron):
    """A multilayer perceptron that classifies: two classes, several, or several labels a row.

    Parameters and attributes are those of ``sklearn.neural_network.MLPClassifier``; beyond them

    Parameters
    ----------
    backend : where it trains and predicts; ``"auto"``, or a name of `gearshift.backends.available`.
    dtype : ``"float32"`` or ``"float64"``; ``"auto"`` is that of X, which is float64 unless X is float32.
    dropout : probability with which a hidden unit is left out of a training step, from 0 to below 1.

    Attributes
    ----------
    backend_ : name of the backend that trained.
    """

    _classifies: ClassVar[bool] = True

    def fit(self, X: Any, y: Any) -> Self:
        """Trains on X (rows, features) and y: classes (rows,), or 0 and 1 (rows, labels)."""
        return self._fit_classes(X, y, None, incremental=False)

    @available_if(goes_stepwise)
    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """One epoch more on X and y; `classes` are all that will come, named at the first call."""
        if not hasattr(self, "classes_") and classes is None:
            raise ConfigurationError("classes must be passed on the first call to partial_fit")
        return self._fit_classes(X, y, classes, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """The class of each row (rows,), or 0 and 1 for each label (rows, labels)."""
        outputs = self._outputs(X)
        return self._labels.decode(outputs)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, in the order of `classes_`, or of each label: (rows, n)."""
        outputs = self._outputs(X)
        return self._labels.probabilities(outputs)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _fit_classes(self, X: Any, y: Any, classes: Any, incremental: bool) -> Self:
        first = self._first(incremental)
        X, y = validate_data(self, X, y, multi_output=True, dtype=self._dtypes(first), reset=first)
        if first:
            self._labels = Labels.of(y, classes)
            self.classes_ = self._labels.classes
            self.out_activation_ = "softmax" if self._labels.kind == "multiclass" else "logistic"
        if not first or classes is not None:
            self._labels.check(y, all_of_them=not incremental)
        self._fit(X, self._labels.encode(y, X.dtype), self._labels.outputs, None, first, incremental)
        return self

    def _objective(self) -> Objective:
        labels = self._labels
        scale = 1 if labels.kind == "multiclass" else labels.outputs  # the library's is a mean over outputs
        return Objective(labels.loss, scale, scale, float(self.alpha))

    def _validation_score(self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> float:
        answers = self._labels.loss.predict(outputs)
        return float(accuracy_score(targets, answers, sample_weight=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, Perceptron):
    """A multilayer perceptron that predicts one value a row, or several.

    Parameters and attributes are those of ``sklearn.neural_network.MLPRegressor``, and those that `MLPClassifier`
    has beyond scikit-learn's.
    """

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
        parameters = {name: value for name, value in locals().items() if name not in ("self", "loss", "__class__")}
        super().__init__(**parameters)
        self.loss = loss

    def fit(self, X: Any, y: Any) -> Self:
        """Trains on X (rows, features) and values y (rows,) or (rows, outputs)."""
        return self._fit_values(X, y, incremental=False)

    @available_if(goes_stepwise)
    def partial_fit(self, X: Any, y: Any) -> Self:
        """One epoch more on X and y."""
        return self._fit_values(X, y, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """The values of each row: (rows,), or (rows, outputs) where there are several."""
        outputs = self._outputs(X)
        return outputs.reshape(-1) if self.n_outputs_ == 1 else outputs

    def _fit_values(self, X: Any, y: Any, incremental: bool) -> Self:
        first = self._first(incremental)
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, dtype=self._dtypes(first), reset=first)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        targets = np.ascontiguousarray(y, X.dtype).reshape(len(y), -1)
        self.out_activation_ = "identity"
        self._fit(X, targets, targets.shape[1], None, first, incremental)
        return self

    def _objective(self) -> Objective:
        # half the squared error; its gradient is that of a sum over outputs, its value that of their mean
        return Objective(MSELoss(), self.n_outputs_ / 2, 0.5, float(self.alpha))

    def _validation_score(self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> float:
        return float(r2_score(targets, outputs, sample_weight=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
