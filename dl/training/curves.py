"""ROC and precision-recall curves of a classifier, class by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError
from ..notebook import preformatted


@dataclass(frozen=True, eq=False)
class ThresholdCurve:
    """A curve over the thresholds of a class's probability.

    Attributes
    ----------
    x, y : (points,) false and true positive rate, or recall and precision.
    thresholds : the probability from which a row counts as the class, for each point that has one.
    area : the area under the ROC curve, or the average precision.
    """

    x: np.ndarray
    y: np.ndarray
    thresholds: np.ndarray
    area: float


@dataclass(frozen=True, eq=False)
class Curves:
    """The result of `Trainer.curves`; prints as a table of the areas.

    Attributes
    ----------
    roc, precision_recall : a `ThresholdCurve` for each class against the others, by its name; of two classes, for the
        second only.
    shares : the share of each class's rows: the average precision of a guess.

    Examples
    --------
    >>> curves = trainer.curves(x, y)
    >>> area = curves.roc["3"].area
    """

    roc: dict[str, ThresholdCurve]
    precision_recall: dict[str, ThresholdCurve]
    shares: dict[str, float]

    def __str__(self) -> str:
        width = max(5, *map(len, self.roc))
        lines = [f"{'class':<{width}}  ROC area  average precision  share of rows"]
        for name, curve in self.roc.items():
            precision = self.precision_recall[name].area
            lines.append(f"{name:<{width}}  {curve.area:8.4f}  {precision:17.4f}  {self.shares[name]:13.4f}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return preformatted(str(self))


def curves(probabilities: Any, y: np.ndarray, weight: np.ndarray | None, names: list[Any] | None) -> Curves:
    """The curves of probabilities (rows, classes) and labels y (rows,), computed by scikit-learn.

    Raises
    ------
    ConfigurationError
        There is not one probability for each class of a row.
    DataError
        A class has no rows, or all.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    if not isinstance(probabilities, np.ndarray) or probabilities.ndim != 2 or y.reshape(-1).shape != (len(y),):
        raise ConfigurationError("curves: expected a classifier of one label a row; use those of one output of several")
    y, count = y.reshape(-1), probabilities.shape[1]
    classes = [str(name) for name in (names if names is not None and len(names) == count else range(count))]
    roc, precise, shares = {}, {}, {}
    for place in range(count) if count > 2 else [1]:
        own, p = y == place, probabilities[:, place].astype(np.float64)
        if own.all() or not own.any():
            raise DataError(f"curves: {'all' if own.all() else 'no'} rows are of class {classes[place]!r}")
        x, up, thresholds = roc_curve(own, p, sample_weight=weight)
        area = float(roc_auc_score(own, p, sample_weight=weight))
        roc[classes[place]] = ThresholdCurve(x, up, thresholds, area)
        precision, recall, thresholds = precision_recall_curve(own, p, sample_weight=weight)
        area = float(average_precision_score(own, p, sample_weight=weight))
        precise[classes[place]] = ThresholdCurve(recall, precision, thresholds, area)
        shares[classes[place]] = float(np.average(own, weights=weight))
    return Curves(roc, precise, shares)
