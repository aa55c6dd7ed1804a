"""Losses: what is minimised, what is reported beside it, and how outputs become answers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..backends.errors import ConfigurationError, DataError, ShapeError
from ..kernels.binary_cross_entropy import BINARY_CROSS_ENTROPY
from ..kernels.hinge import HINGE
from ..kernels.multiclass_hinge import MULTICLASS_HINGE
from ..kernels.operation import Operation
from ..kernels.soft_cross_entropy import SOFT_CROSS_ENTROPY
from ..kernels.softmax_cross_entropy import SOFTMAX_CROSS_ENTROPY
from ..kernels.squared_error import SQUARED_ERROR
from ..kernels.weigh import WEIGH
from .data import Dataset
from .data.dataset import one_hot
from .graph import Graph, Value
from .registered import Registered

small_is_zero = np.errstate(under="ignore")  # a probability too small for its dtype is 0, which is no mistake


class Loss(Registered):
    """Base of the losses. `metrics` are the columns of the scores that its operation writes, the loss first."""

    metrics: tuple[str, ...] = ("loss",)
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

    def probabilities(self, outputs: np.ndarray) -> Any:
        """The probabilities that outputs (rows, n) stand for.

        Raises
        ------
        ConfigurationError
            The loss has none.
        """
        raise ConfigurationError(f"{type(self).__name__} has no probabilities; use predict()")

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
            way_out = one_hot(data.y) if len(prediction) == 1 else ""
            raise ShapeError(f"targets y have {labels} labels a row, but the model's outputs are {prediction}{way_out}")

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """The class of the greatest logit: int64 (rows,), of sequences (examples, tokens)."""
        return np.argmax(outputs, axis=-1)

    @small_is_zero
    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """The softmax over the classes, in the outputs' dtype."""
        exps = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
        return exps / exps.sum(axis=-1, keepdims=True)


class MSELoss(Loss):
    """Mean over batch and outputs of (prediction − target)²."""

    operation = SQUARED_ERROR
    targets = "values"

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch(prediction.shape, graph.dtype, "targets")

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        check_values(self, data, prediction)


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


class BinaryLoss(Loss, named=False):
    """Base of the losses of yes-or-no outputs (rows, n), with labels 0 and 1 (rows,) or floats (rows, n) as targets."""

    metrics = ("loss", "accuracy")
    targets = "binary"
    _expected: ClassVar[str] = "targets from 0 to 1"

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch(prediction.shape, graph.dtype, "targets")

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        check_values(self, data, prediction)
        if data.y.dtype.kind == "i":
            return data.check_labels(2)
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

    Targets are −1 and +1, or labels 0 and 1, of which 0 counts as −1.
    """

    operation = HINGE
    _expected = "targets of -1 and 1, or of 0 and 1"

    def _wrong(self, y: np.ndarray) -> np.ndarray:
        return (y != 1) & (y != 0) & (y != -1)


class MulticlassHingeLoss(CrossEntropyLoss):
    """Multi-class hinge (Crammer and Singer 2001): max(0, 1 − (ŷ_t − max over j ≠ t of ŷ_j)), averaged over the batch.

    Outputs are (rows, classes), t the rows' labels (rows,).
    """

    operation = MULTICLASS_HINGE

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """None: margins are not probabilities."""
        return Loss.probabilities(self, outputs)


def check_values(loss: Loss, data: Dataset, prediction: tuple[int, ...]) -> None:
    """Raises where `data` has no targets, or not one for each output."""
    if data.y is None:
        raise ShapeError(f"{type(loss).__name__} needs targets y, but the data set has none")
    shape = tuple(data.y.shape[1:]) or (1,)
    if shape != prediction:
        raise ShapeError(f"targets y have rows of shape {shape}, but the model's outputs {prediction}")
