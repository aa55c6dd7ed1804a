"""Losses of classes: cross-entropies from labels and from distributions, and the multi-class hinge."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError, ShapeError
from ...kernels.arrays.column_moment import COLUMN_MOMENT
from ...kernels.losses.multiclass_hinge import MULTICLASS_HINGE
from ...kernels.losses.soft_cross_entropy import SOFT_CROSS_ENTROPY
from ...kernels.losses.softmax_cross_entropy import SOFTMAX_CROSS_ENTROPY
from ...kernels.tracing import xp
from ..data import Dataset
from ..data.dataset import labels_of
from ..graph.graph import Graph, Value
from ..layers.traced import append
from ..values import require_number
from .formula import FormulaLoss
from .losses import Loss, check_values, entropy, small_is_zero
from .traced import traced_score


class CrossEntropyLoss(Loss):
    """Categorical cross-entropy from logits (rows, classes) and labels (rows,), averaged over the batch.

    Sequences have a row of logits and a label per token: labels (examples, tokens).

    Parameters
    ----------
    label_smoothing : the share of each target that is spread over all classes (Szegedy et al. 2016), below 1.
    ignore_index : a label that does not count, such as −100 for padding tokens; None if all count. Loss and accuracy
        are then means over the labels that count in a batch, or in the part of it that a rank has.

    Raises
    ------
    ConfigurationError
        `label_smoothing` is not a number of at least 0 and below 1, or `ignore_index` is no integer.

    Examples
    --------
    >>> gs.CrossEntropyLoss(label_smoothing=0.1, ignore_index=-100)
    CrossEntropyLoss(label_smoothing=0.1, ignore_index=-100)
    """

    metrics = ("loss", "accuracy")
    operation = SOFTMAX_CROSS_ENTROPY
    label_smoothing = 0.0
    ignore_index: int | None = None

    def __init__(self, label_smoothing: float = 0.0, ignore_index: int | None = None) -> None:
        require_number(self, label_smoothing=label_smoothing, at_least=0, below=1)
        if ignore_index is not None and (isinstance(ignore_index, bool) or not isinstance(ignore_index, int)):
            raise ConfigurationError(
                f"{type(self).__name__}: ignore_index is {ignore_index!r}; expected an integer, or None"
            )
        self.label_smoothing, self.ignore_index = float(label_smoothing), ignore_index

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that are not the defaults."""
        given = {"label_smoothing": self.label_smoothing, "ignore_index": self.ignore_index}
        return {name: value for name, value in given.items() if value != getattr(CrossEntropyLoss, name)}

    def score(self, graph: Graph, prediction: Value, target: Value, weight: Value | None) -> tuple[Value, Value]:
        if not self.arguments:
            return super().score(graph, prediction, target, weight)
        self._check_weight(prediction, weight)
        name, kind, ignored = type(self).__name__, self.targets, self.ignore_index
        scored = traced_score(graph, name, self._formula, kind, prediction, target, ignored)
        if self.ignore_index is not None:
            scored = self._over_those_that_count(graph, target, *scored)
        return self._weighted(graph, weight, *scored)

    def _formula(self, output: Any, target: Any) -> Any:
        """The loss of each row; 0 for those that are ignored."""
        right, share = xp.arange(output.shape[-1]) == target[:, None], self.label_smoothing
        log_p = xp.log_softmax(output)
        loss = -(1 - share) * xp.where(right, log_p, 0.0).sum(axis=-1)
        if share:
            loss = loss - share * log_p.mean(axis=-1)
        return loss if self.ignore_index is None else xp.where(target == self.ignore_index, 0.0, loss)

    def _over_those_that_count(self, graph: Graph, target: Value, *scored: Value) -> tuple[Value, Value]:
        """Scores and gradient of means over all rows, as those of means over the rows that count."""
        name, each = type(self).__name__, scored[0].rows_per_example
        counts, share = graph.batch((1,), graph.dtype, rows_per_example=each), graph.fixed((1,), graph.dtype)
        append(graph, name, lambda label: 1.0 * (label != self.ignore_index), (target,), counts, width=1)
        graph.apply(COLUMN_MOMENT, (counts,), (share,), power=1)
        scores, gradient = map(graph.like, scored)
        for value, result in zip(scored, (scores, gradient), strict=True):
            append(graph, name, lambda value, share: value / xp.maximum(share, 1e-30), (value, share), result)
        return scores, gradient

    def describe(self) -> dict[str, Any]:
        arguments = self.arguments
        return {**super().describe(), **({"arguments": arguments} if arguments else {})}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.arguments.items())})"

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch((prediction.rows_per_example,), "int64", "labels")

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        if len(prediction) not in (1, 2):
            raise ShapeError(f"CrossEntropyLoss expects rows of one logit per class, but gets shape {prediction}")
        data.check_labels(prediction[-1], self.ignore_index)
        labels = data.y.size // len(data)
        if labels != math.prod(prediction[:-1]):
            pooled = "; with one label a sequence, put gs.MeanPooling() before the last layer"
            way_out = labels_of(data.y) if len(prediction) == 1 else pooled if labels == 1 else ""
            raise ShapeError(
                f"targets y have {labels} label{'s' * (labels != 1)} a row, but the model's outputs are "
                f"{prediction}{way_out}"
            )

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """The class with the largest logit: int64 (rows,), or (examples, tokens) for sequences."""
        return np.argmax(outputs, axis=-1)

    @small_is_zero
    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """The softmax over the classes, in the outputs' dtype."""
        with np.errstate(under="ignore"):  # underflow gives 0
            exps = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
            return exps / exps.sum(axis=-1, keepdims=True)

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        if self.label_smoothing:
            return None  # it depends on the number of classes, which labels alone do not tell
        labels = y.reshape(len(y), -1)
        weight = np.repeat(weight, labels.shape[1])
        counts = np.ones(labels.size, bool) if self.ignore_index is None else labels.ravel() != self.ignore_index
        shares = np.bincount(labels.ravel()[counts], weight[counts])
        return entropy(shares / shares.sum()) if counts.any() else None


class SoftCrossEntropyLoss(CrossEntropyLoss):
    """Categorical cross-entropy from logits (rows, classes) and a distribution over the classes (rows, classes).

    −Σⱼ qⱼ log softmax(z)ⱼ, averaged over the batch; for soft or smoothed labels (Szegedy et al. 2016). The accuracy
    counts rows whose largest logit is at the target's largest share.

    Examples
    --------
    >>> shares = 0.9 * np.eye(10)[y] + 0.01  # of the ten classes
    >>> trainer = gs.Trainer(gs.Sequential(gs.Linear(64, 10)), gs.SoftCrossEntropyLoss(), gs.Adam(lr=1e-2), seed=0)
    >>> history = trainer.fit(x, shares, epochs=1, verbose=False)
    """

    operation = SOFT_CROSS_ENTROPY
    targets = "values"

    def __init__(self) -> None:
        super().__init__()

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch(prediction.shape, graph.dtype, "targets")

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        check_values(self, data, prediction)
        shares = data.y.reshape(len(data), -1)
        wrong = (abs(shares.sum(axis=1) - 1) > 1e-3) | (shares < 0).any(axis=1)
        if bool(wrong.any()):
            row = int(wrong.argmax())
            raise DataError(f"y[{row}] is {data.y[row]}; expected a share of at least 0 for each class, together 1")

    def numbers(self, columns: int) -> np.ndarray:
        """No columns: shares are not scaled."""
        return np.zeros(columns, bool)

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        return entropy(weight @ y.reshape(len(y), -1))


class MulticlassHingeLoss(CrossEntropyLoss):
    """Multi-class hinge (Crammer and Singer 2001): max(0, 1 − (ŷ_t − max over j ≠ t of ŷ_j)), averaged over the batch.

    Outputs are (rows, classes), t the rows' labels (rows,).

    Examples
    --------
    >>> trainer = gs.Trainer(gs.Sequential(gs.Linear(64, 10)), gs.MulticlassHingeLoss(), gs.Adam(lr=1e-2), seed=0)
    >>> history = trainer.fit(x, y, epochs=1, verbose=False)
    >>> trainer.predict(x).shape
    (1258,)
    """

    operation = MULTICLASS_HINGE

    def __init__(self) -> None:
        super().__init__()

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Not available: margins are not probabilities."""
        return Loss.probabilities(self, outputs)

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        # equal outputs have loss 1 in every row; a margin of 1 for the most frequent class has loss 2 in all others
        return min(1.0, 2 * (1 - float(np.bincount(y.reshape(-1), weight).max())))


class ClassesLoss(FormulaLoss, CrossEntropyLoss, named=False):
    """Base class of formulas whose targets are labels, (rows,)."""

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        return None


class FocalLoss(ClassesLoss):
    """−(1 − p)^gamma log p with p the probability of the label (Lin et al. 2017), averaged over the batch.

    Outputs are logits (rows, classes), targets labels (rows,). With gamma = 0 it is `CrossEntropyLoss`.

    Raises
    ------
    ConfigurationError
        `gamma` is not a number.

    Examples
    --------
    >>> logits = np.array([[2.0, 0.0], [0.0, 2.0]])  # the cross-entropies of the label 0 are 0.127 and 2.127
    >>> gs.FocalLoss(gamma=2.0).formula(logits, np.array([0, 0])).round(3)
    array([0.002, 1.65 ])
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__(gamma=gamma)

    @staticmethod
    def formula(output: Any, target: Any, *, gamma: float) -> Any:
        right = xp.arange(output.shape[-1]) == target[:, None]
        log_p = xp.where(right, xp.log_softmax(output), 0.0).sum(axis=-1)
        return -((1.0 - xp.exp(log_p)) ** gamma) * log_p
