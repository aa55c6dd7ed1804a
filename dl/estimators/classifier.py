"""The base of the classifiers."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from ...backends.errors import ConfigurationError
from ..step.plan import underflowing
from . import checks
from .base import Perceptron
from .descent import PenalizedLoss
from .in_kind import as_given, in_kind, taken
from .labels import Labels
from .rows import checked_weights, dense


class NetworkClassifier(ClassifierMixin, Perceptron):
    """Base of the classifiers, for binary, multiclass and multilabel targets."""

    _classifies: ClassVar[bool] = True
    class_weight: Any = None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains on X (rows, features) and y: classes (rows,), or 0 and 1 (rows, labels); rows may have weights."""
        return self._fit_classes(X, y, sample_weight, None, incremental=False)

    @available_if(checks.goes_stepwise)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Trains for one more epoch on X and y; the first call must give all `classes`."""
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            raise ConfigurationError(
                "class_weight 'balanced' needs all rows, and partial_fit sees some; give the weights as a dict of "
                "classes, as sklearn.utils.class_weight.compute_class_weight makes them"
            )
        if not hasattr(self, "classes_") and classes is None:
            raise ConfigurationError("classes must be passed on the first call to partial_fit")
        return self._fit_classes(X, y, sample_weight, classes, incremental=True)

    @in_kind
    def predict(self, X: Any) -> np.ndarray:
        """The class of each row (rows,), or 0 and 1 for each label (rows, labels)."""
        outputs = self._outputs(X)
        return self._labels.decode(outputs)

    @in_kind
    @underflowing
    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, in the order of `classes_`, or of each label: (rows, n)."""
        outputs = self._outputs(X)
        return self._labels.probabilities(outputs)

    @in_kind
    @underflowing
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            outputs = self._outputs(X)
            return np.log(self._labels.probabilities(outputs))

    @in_kind
    def decision_function(self, X: Any) -> np.ndarray:
        """The outputs before sigmoid or softmax: (rows,) for two classes, else (rows, classes or labels)."""
        outputs = self._outputs(X)
        return outputs.reshape(-1) if self._labels.kind == "binary" else outputs

    @underflowing
    def _fit_classes(self, X: Any, y: Any, sample_weight: Any, classes: Any, incremental: bool) -> Self:
        first, given, y = self._first(X, incremental), X, taken(y)
        X, y = validate_data(self, dense(X), y, multi_output=True, dtype=self._dtypes(first), order="C", reset=first)
        if first:
            self._labels = Labels.of(y, taken(classes))
            self.classes_ = as_given(self._labels.classes, given)
            self.out_activation_ = "softmax" if self._labels.kind == "multiclass" else "logistic"
        if not first or classes is not None:
            self._labels.check(y, all_of_them=not incremental)
        weights = self._class_weights(y, checked_weights(sample_weight, X), X.dtype)
        self._fit(X, self._labels.encode(y, X.dtype), self._labels.outputs, weights, first, incremental)
        return self

    def _class_weights(self, y: np.ndarray, weights: np.ndarray | None, dtype: np.dtype) -> np.ndarray | None:
        """The sample weights, multiplied by the class weights if there are any."""
        given = self.class_weight
        if given is None:
            return weights
        if weights is not None and given == "balanced" and self._labels.kind != "multilabel":
            places = np.searchsorted(self._labels.classes, y)  # by weights, not by numbers of rows
            totals = np.bincount(places, weights, len(self._labels.classes))
            share = weights.sum() / np.count_nonzero(totals)
            factors = np.divide(share, totals, out=np.zeros_like(totals), where=totals > 0)[places]
        else:
            factors = compute_sample_weight(given, y)
        found = factors if weights is None else weights * factors
        if not np.isfinite(found).all() or found.min() < 0 or not found.sum() > 0:
            raise ConfigurationError(
                f"{type(self).__name__}: class_weight is {given!r}, with which rows have weights from {found.min():g} "
                f"to {found.max():g}; expected finite numbers of at least 0, and some above it"
            )
        return found.astype(dtype, copy=False)

    def _objective(self) -> PenalizedLoss:
        labels = self._labels
        scale = 1 if labels.kind == "multiclass" else labels.outputs  # the library's is a mean over outputs
        return PenalizedLoss(labels.loss, scale, scale, float(self.alpha))

    def _validation_score(self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> float:
        answers = self._labels.loss.predict(outputs)
        return float(accuracy_score(targets, answers, sample_weight=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
