"""Precision, recall and confusion of a classifier, class by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...backends.errors import ConfigurationError
from ..notebook import preformatted

if TYPE_CHECKING:
    from ..data import Dataset
    from ..losses.losses import Loss


@dataclass(frozen=True, eq=False)
class Report:
    """The result of `Trainer.report`; prints as a table.

    Attributes
    ----------
    classes : names of the classes.
    precision : (classes,) correct predictions divided by all predictions of the class; 0 if there are none.
    recall : (classes,) correct predictions divided by all rows of the class; 0 if there are none.
    rows : (classes,) sum of the weights of each class's rows.
    confusion : (classes, classes) sum of the weights of the rows of each true class (row) and predicted class (column).

    Examples
    --------
    >>> report = trainer.report(x, y)
    >>> report.f1.shape, report.confusion.shape
    ((10,), (10, 10))
    """

    classes: tuple[str, ...]
    precision: np.ndarray
    recall: np.ndarray
    rows: np.ndarray
    confusion: np.ndarray

    @property
    def f1(self) -> np.ndarray:
        """(classes,) the harmonic mean of precision and recall; 0 if both are."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)

    @property
    def accuracy(self) -> float:
        """The share of the rows with a correct prediction."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def confused(self) -> list[tuple[str, str, float]]:
        """The most frequent errors: true class, predicted class, and rows; at most five."""
        errors = self.confusion - np.diag(np.diag(self.confusion))
        order = np.argsort(-errors, axis=None, kind="stable")[:5]
        pairs = [tuple(map(int, np.unravel_index(place, errors.shape))) for place in order]
        return [(self.classes[a], self.classes[b], float(errors[a, b])) for a, b in pairs if errors[a, b] > 0]

    @property
    def means(self) -> dict[str, float]:
        """Precision and recall as one number each: of the second class if there are two, otherwise the mean."""
        pick = np.s_[1:] if len(self.classes) == 2 else np.s_[:]
        return {"precision": float(self.precision[pick].mean()), "recall": float(self.recall[pick].mean())}

    def __str__(self) -> str:
        width = max(5, *map(len, self.classes))
        lines = [f"{'class':<{width}}  precision  recall      f1  rows"]
        columns = self.classes, self.precision, self.recall, self.f1, self.rows
        for name, precision, recall, f1, rows in zip(*columns, strict=True):
            lines.append(f"{name:<{width}}  {precision:9.4f}  {recall:6.4f}  {f1:6.4f}  {rows:g}")
        lines += [
            f"{rows:g} row{'s' * (rows != 1)} of class {true} predicted as {predicted}"
            for true, predicted, rows in self.confused
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return preformatted(str(self))


def report(loss: Loss, data: Dataset, answers: np.ndarray, names: list[int | str] | None) -> Report:
    """The report of the predictions `answers` for the rows of `data`, computed by scikit-learn.

    Raises
    ------
    ConfigurationError
        The loss has no classes.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    y = data.on_host("y")
    if loss.targets == "binary":
        answers = (answers > 0).astype(np.int64)  # also those of -1 and 1
        y = (y > 0.5).astype(np.int64).reshape(answers.shape)
    elif "accuracy" in loss.metrics:
        y = y.argmax(axis=1) if y.dtype.kind == "f" else y.reshape(-1)
        answers = answers.reshape(-1)
    else:
        raise ConfigurationError(f"{type(loss).__name__} has no classes, so there is no precision and recall")
    weight = None if data.weight is None else np.repeat(data.on_host("weight"), len(answers) // len(data))
    ignored = getattr(loss, "ignore_index", None)
    if ignored is not None:
        counts = y != ignored
        y, answers, weight = y[counts], answers[counts], weight if weight is None else weight[counts]
    count = answers.shape[1] if answers.ndim == 2 else max(2, int(y.max()) + 1, int(answers.max()) + 1)
    count = max(count, len(names or ()))
    precision, recall, _, rows = precision_recall_fscore_support(
        y,
        answers,
        labels=np.arange(count),
        zero_division=0,  # pyright: ignore[reportArgumentType]
        sample_weight=weight,
    )
    classes = tuple(map(str, names if names is not None and len(names) == count else range(count)))
    if answers.ndim == 2:  # several labels of a row may be right: there is no matrix of one against another
        right = np.diag(np.asarray(rows) * np.asarray(recall))
        return Report(classes, np.asarray(precision), np.asarray(recall), np.asarray(rows), right)
    confusion = confusion_matrix(y, answers, labels=np.arange(count), sample_weight=weight)
    return Report(classes, np.asarray(precision), np.asarray(recall), np.asarray(rows), np.asarray(confusion))
