"""Losses: what is minimised, what is reported beside it, and how outputs become answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ...backends.errors import ConfigurationError, DataError, ShapeError
from ...kernels.losses.binary_cross_entropy import BINARY_CROSS_ENTROPY
from ...kernels.losses.hinge import HINGE
from ...kernels.losses.multiclass_hinge import MULTICLASS_HINGE
from ...kernels.losses.sample_weights import WEIGH
from ...kernels.losses.soft_cross_entropy import SOFT_CROSS_ENTROPY
from ...kernels.losses.softmax_cross_entropy import SOFTMAX_CROSS_ENTROPY
from ...kernels.losses.squared_error import SQUARED_ERROR
from ...kernels.operation import Operation
from ..data import Dataset
from ..data.dataset import labels_of
from ..data.target_scaling import TargetScaling
from ..graph.graph import Graph, Value
from ..registered import Registered

small_is_zero = np.errstate(under="ignore")  # a probability too small for its dtype is 0, which is no mistake


class Loss(Registered):
    """Base of the losses. `metrics` are the columns of the scores that its operation writes, the loss first."""

    metrics: tuple[str, ...] = ("loss",)
    compares: ClassVar[bool] = False
    """Whether `measures` has something to say of answers beside targets."""
    squared: ClassVar[bool] = False
    """Whether it is in the target's squared units."""
    targets: ClassVar[str] = "classes"
    """What it learns: ``"classes"`` by one output each, ``"binary"`` answers by one output, or ``"values"``."""
    operation: ClassVar[Operation]
    registered: ClassVar[dict[str, type[Loss]]]

    @property
    def attributes(self) -> dict[str, int | float]:
        """Attributes of the operation."""
        return {}

    def target(self, graph: Graph, prediction: Value) -> Value:
        """The value that holds the targets of a batch with such predictions."""
        raise NotImplementedError

    def lower(self, graph: Graph, prediction: Value, target: Value, weight: Value | None = None) -> Value:
        """Appends the loss and its gradient, times `weight` (rows, 1) if given; returns the scores (rows, metrics)."""
        scores, gradient = self.score(graph, prediction, target, weight)
        graph.begin_gradient(prediction, gradient)
        return scores

    def score(self, graph: Graph, prediction: Value, target: Value, weight: Value | None) -> tuple[Value, Value]:
        """Appends the loss; returns its scores and its gradient.

        Raises
        ------
        ConfigurationError
            There are weights, and the model's outputs are several rows for each example.
        """
        if weight is not None and prediction.each != weight.each:
            raise ConfigurationError(
                f"{type(self).__name__}: weights are for each example, but the model's outputs are "
                f"{prediction.example_shape}, several rows each; train sequences without weights"
            )
        each, dtype = prediction.each, graph.dtype if graph.scaled else prediction.dtype
        scores = graph.batch((len(self.metrics),), graph.dtype, each=each)
        gradient = graph.batch(prediction.shape, dtype, each=each)
        graph.apply(self.operation, (prediction, target), (scores, gradient), **self.attributes)
        if weight is not None:
            plain, scores, gradient = (scores, gradient), graph.like(scores), graph.like(gradient)
            graph.apply(WEIGH, (weight, *plain), (scores, gradient))
        return scores, gradient

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        """Compares targets with the shape of predictions for each example.

        Raises
        ------
        ShapeError
            There are no targets, or they have another shape.
        DataError
            A label or value is not one that the loss can learn.
        """
        raise NotImplementedError

    def predict(self, outputs: np.ndarray) -> Any:
        """The answers that outputs (rows, n) stand for."""
        return outputs

    def answers(self, outputs: np.ndarray, scaling: TargetScaling | None = None, signed: Sequence[int] = ()) -> Any:
        """`predict`, in the units and with the labels of the targets that the model learned.

        Parameters
        ----------
        scaling : the model's `target_scaling`.
        signed : the model's `signed_targets`: columns of the targets that were −1 and +1.
        """
        answers = self.predict(outputs)
        return answers if scaling is None else scaling.restored(answers)

    def probabilities(self, outputs: np.ndarray) -> Any:
        """The probabilities that outputs (rows, n) stand for.

        Raises
        ------
        ConfigurationError
            The loss has none.
        """
        raise ConfigurationError(f"{type(self).__name__} has no probabilities; use predict()")

    def numbers(self, columns: int) -> np.ndarray:
        """Which of the columns of the targets hold numbers that may be scaled: (columns,) bool."""
        return np.full(columns, self.targets == "values")

    def signed(self, y: np.ndarray, before: Sequence[int] = ()) -> tuple[int, ...]:
        """The columns of targets y that are −1 and +1 for no and yes; `before` where y does not tell."""
        return ()

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        """The least loss that one answer for all rows can have; None where that is not known.

        A model with a loss no lower than this has learned nothing of its inputs.

        Parameters
        ----------
        y : targets that `check` has passed.
        weight : (rows,) shares of the rows, together 1.
        """
        return None

    def measures(self, y: np.ndarray, answers: Any, weight: np.ndarray | None, *, scaled: bool) -> dict[str, float]:
        """What `Trainer.evaluate` reports of answers beside `metrics`; y and `answers` in the target's units.

        Parameters
        ----------
        weight : (rows,) or None.
        scaled : whether the model learned scaled targets.
        """
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class CrossEntropyLoss(Loss):
    """Categorical cross-entropy from logits (rows, classes) and labels (rows,), averaged over the batch.

    Of sequences there is a row of logits and a label for each token: labels (examples, tokens). Tokens that are padding
    count as any other; there is no `ignore_index`.
    """

    metrics = ("loss", "accuracy")
    operation = SOFTMAX_CROSS_ENTROPY

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch((prediction.each,), "int64", "labels")

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        if len(prediction) not in (1, 2):
            raise ShapeError(f"CrossEntropyLoss expects one logit a class in each row, but gets rows of {prediction}")
        data.check_labels(prediction[-1])
        labels = data.y.size // len(data)
        if labels != math.prod(prediction[:-1]):
            way_out = labels_of(data.y) if len(prediction) == 1 else ""
            raise ShapeError(f"targets y have {labels} labels a row, but the model's outputs are {prediction}{way_out}")

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """The class of the greatest logit: int64 (rows,), of sequences (examples, tokens)."""
        return np.argmax(outputs, axis=-1)

    @small_is_zero
    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """The softmax over the classes, in the outputs' dtype."""
        with np.errstate(under="ignore"):  # what is too small to be a number is 0
            exps = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
            return exps / exps.sum(axis=-1, keepdims=True)

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        labels = y.reshape(len(y), -1)
        shares = np.bincount(labels.ravel(), np.repeat(weight, labels.shape[1]) / labels.shape[1])
        return _entropy(shares)


class MSELoss(Loss):
    """Mean over batch and outputs of (prediction − target)²."""

    operation = SQUARED_ERROR
    targets = "values"
    squared = compares = True

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch(prediction.shape, graph.dtype, "targets")

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        check_values(self, data, prediction)

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        rows = y.reshape(len(y), -1).astype(np.float64)
        rows = rows - rows[0]  # an offset costs no digits
        return float((weight @ (rows - weight @ rows) ** 2).mean())

    def measures(self, y: np.ndarray, answers: Any, weight: np.ndarray | None, *, scaled: bool) -> dict[str, float]:
        """R², where there are two rows or more, and the mean squared error where ``"loss"`` has other units."""
        from sklearn.metrics import mean_squared_error, r2_score

        y, answers = (np.asarray(part, np.float64).reshape(len(y), -1) for part in (y, answers))
        found = {}
        if scaled and y.shape[1] > 1:
            found["mse"] = float(mean_squared_error(y, answers, sample_weight=weight))
        if len(y) > 1:
            found["r2"] = float(r2_score(y, answers, sample_weight=weight))
        return found


class SoftCrossEntropyLoss(CrossEntropyLoss):
    """Categorical cross-entropy from logits (rows, classes) and a distribution over the classes (rows, classes).

    −Σⱼ qⱼ log softmax(z)ⱼ, averaged over the batch; for soft or smoothed labels (Szegedy et al. 2016). The accuracy
    counts rows whose greatest logit is at the target's greatest share.
    """

    operation = SOFT_CROSS_ENTROPY
    targets = "values"

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
        """None: shares are not scaled."""
        return np.zeros(columns, bool)

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        return _entropy(weight @ y.reshape(len(y), -1))


class BinaryLoss(Loss, named=False):
    """Base of the losses of yes-or-no outputs (rows, n), with labels 0 and 1 (rows,) or floats (rows, n) as targets."""

    metrics = ("loss", "accuracy")
    targets = "binary"
    _expected: ClassVar[str] = "targets from 0 to 1"

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch(prediction.shape, graph.dtype, "targets")

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        check_values(self, data, prediction)
        wrong = self._wrong(data.y).reshape(len(data), -1).any(axis=1)
        if bool(wrong.any()):
            row = int(wrong.argmax())
            raise DataError(f"y[{row}] is {data.y[row]}; {type(self).__name__} expects {self._expected}")

    def _wrong(self, y: np.ndarray) -> np.ndarray:
        return (y < 0) | (y > 1)

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """1 where the output is above 0, else 0: int64 (rows,) of one output a row, else (rows, n)."""
        answers = (outputs > 0).astype(np.int64)
        return answers[:, 0] if outputs.shape[1] == 1 else answers


class BCEWithLogitsLoss(BinaryLoss):
    """Logistic loss: binary cross-entropy from logits, log(1 + eᶻ) − t z, averaged over batch and outputs.

    Targets t are labels 0 and 1, or floats between.
    """

    operation = BINARY_CROSS_ENTROPY
    _expected = "targets from 0 to 1; of -1 and 1 make (y + 1) / 2, or use HingeLoss"

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        ones = weight @ y.reshape(len(y), -1)
        return float(np.mean([_entropy(np.array([1 - one, one])) for one in ones]))

    @small_is_zero
    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Of one output a row, the probabilities of 0 and 1 (rows, 2); else those of 1 (rows, n)."""
        e = np.exp(-np.abs(outputs))
        one = np.where(outputs < 0, e, 1) / (1 + e)
        if outputs.shape[1] > 1:
            return one
        return np.concatenate([np.where(outputs < 0, 1, e) / (1 + e), one], axis=1)  # 1 - one would lose small ones


class HingeLoss(BinaryLoss):
    """Binary hinge: max(0, 1 − y ŷ), averaged over batch and outputs.

    Targets are −1 and +1, or labels 0 and 1, of which 0 counts as −1. A model answers as its targets were: −1 and +1
    where it was trained on these, else 0 and 1.
    """

    operation = HINGE
    _expected = "targets of -1 and 1 alone, or of 0 and 1 alone"

    def _wrong(self, y: np.ndarray) -> np.ndarray:
        no = -1 if bool((y < 0).any()) else 0
        return (y != 1) & (y != no)

    def signed(self, y: np.ndarray, before: Sequence[int] = ()) -> tuple[int, ...]:
        if bool((y < 0).any()):
            return tuple(range(y.size // len(y)))
        return () if bool((y == 0).any()) else tuple(before)

    def answers(self, outputs: np.ndarray, scaling: TargetScaling | None = None, signed: Sequence[int] = ()) -> Any:
        answers = self.predict(outputs)
        return 2 * answers - 1 if len(signed) else answers

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        ones = weight @ (y.reshape(len(y), -1) > 0)
        return float((2 * np.minimum(ones, 1 - ones)).mean())


class MulticlassHingeLoss(CrossEntropyLoss):
    """Multi-class hinge (Crammer and Singer 2001): max(0, 1 − (ŷ_t − max over j ≠ t of ŷ_j)), averaged over the batch.

    Outputs are (rows, classes), t the rows' labels (rows,).
    """

    operation = MULTICLASS_HINGE

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """None: margins are not probabilities."""
        return Loss.probabilities(self, outputs)

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        # equal outputs lose 1 in every row; the most frequent class ahead by 1 loses 2 in the others
        return min(1.0, 2 * (1 - float(np.bincount(y.reshape(-1), weight).max())))


def _entropy(shares: np.ndarray) -> float:
    """Of the classes' shares, in nats."""
    shares = np.asarray(shares, np.float64)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def check_values(loss: Loss, data: Dataset, prediction: tuple[int, ...]) -> None:
    """Raises where `data` has no targets, or not one for each output."""
    if data.y is None:
        raise ShapeError(f"{type(loss).__name__} needs targets y, but the data set has none")
    shape = tuple(data.y.shape[1:]) or (1,)
    if shape != prediction:
        raise ShapeError(f"targets y have rows of shape {shape}, but the model's outputs {prediction}")
