"""Encodes classes as targets, and decodes outputs: binary, multiclass and multilabel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import column_or_1d

from ...backends.errors import DataError
from ..losses.binary import BCEWithLogitsLoss
from ..losses.classes import CrossEntropyLoss
from ..losses.losses import Loss


@dataclass(frozen=True)
class Labels:
    """The kind of a classifier's targets, and its classes.

    Parameters
    ----------
    kind : ``"binary"``, one output for two classes; ``"multiclass"``, one output per class; ``"multilabel"``, one
        output per label.
    classes : sorted classes (k,), or the labels' numbers.
    """

    kind: str
    classes: np.ndarray

    @staticmethod
    def of(y: Any, classes: Any = None) -> Labels:
        """The labels of y; `classes`, if given, lists all possible classes.

        Raises
        ------
        DataError
            Columns of y hold more than 0 and 1.
        """
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
        if kind == "multiclass-multioutput":
            raise DataError(f"y has {y.shape[1]} columns of several classes; expected one, or one of 0 and 1 a label")
        if kind == "multilabel-indicator":
            return Labels("multilabel", np.arange(y.shape[1]))
        found = unique_labels(y if classes is None else classes)
        return Labels("multiclass" if len(found) > 2 else "binary", found)

    @property
    def outputs(self) -> int:
        """Outputs of the network."""
        return 1 if self.kind == "binary" else len(self.classes)

    @property
    def loss(self) -> Loss:
        """The loss that suits."""
        return CrossEntropyLoss() if self.kind == "multiclass" else BCEWithLogitsLoss()

    def check(self, y: Any, *, all_of_them: bool) -> None:
        """Raises an error if y has classes that are not known, or, with `all_of_them`, lacks one."""
        new = Labels.of(y)
        if (new.kind == "multilabel") != (self.kind == "multilabel"):
            raise DataError(f"y is {new.kind}, but the classifier was fitted on {self.kind} targets")
        differ = set(new.classes.tolist()) ^ set(self.classes.tolist())
        if differ if all_of_them else differ - set(self.classes.tolist()):
            rule = "the same classes as in the previous call to fit" if all_of_them else "no classes beside classes_"
            raise DataError(f"y has classes {new.classes}; expected {rule}: {self.classes}")

    def encode(self, y: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Targets of the loss: labels int64 (rows,), or 0 and 1 in `dtype` (rows, outputs)."""
        if self.kind == "multilabel":
            return np.ascontiguousarray(y, dtype)
        y = column_or_1d(y, warn=True)
        if self.kind == "multiclass":
            return np.searchsorted(self.classes, y)
        positive = y == self.classes[1] if len(self.classes) == 2 else np.zeros(len(y), bool)
        return positive.astype(dtype).reshape(-1, 1)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """The class of each row (rows,), or 0 and 1 a label (rows, outputs)."""
        answers = self.loss.predict(outputs)
        if self.kind == "multilabel":
            return answers.reshape(outputs.shape)
        return self.classes[np.minimum(answers, len(self.classes) - 1)]

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Of each class or label: (rows, classes)."""
        return self.loss.probabilities(outputs)[:, : len(self.classes)]
