"""Losses: what is minimised, what is reported beside it, and how outputs become answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..backends.errors import ConfigurationError, DataError, ShapeError
from ..kernels.activation import SIGMOID, activate
from ..kernels.binary_cross_entropy import BINARY_CROSS_ENTROPY
from ..kernels.softmax_cross_entropy import SOFTMAX_CROSS_ENTROPY
from ..kernels.squared_error import SQUARED_ERROR
from ..kernels.weigh import WEIGH

if TYPE_CHECKING:
    from ..kernels.operation import Operation
    from .data import Dataset
    from .graph import Graph, Value


class Loss:
    """Base of the losses. `metrics` are the columns of the scores that its operation writes, the loss first."""

    metrics: ClassVar[tuple[str, ...]] = ("loss",)
    operation: ClassVar[Operation]

    def target(self, graph: Graph, prediction: Value) -> Value:
        """The value that holds the targets of a batch with such predictions."""
        raise NotImplementedError

    def lower(self, graph: Graph, prediction: Value, target: Value, weight: Value | None = None) -> Value:
        """Appends the loss and its gradient, times `weight` (rows, 1) if given; returns the scores (rows, metrics)."""
        scores, gradient = graph.batch((len(self.metrics),)), graph.like(prediction)
        graph.apply(self.operation, (prediction, target), (scores, gradient))
        if weight is not None:
            plain, scores, gradient = (scores, gradient), graph.like(scores), graph.like(gradient)
            graph.apply(WEIGH, (weight, *plain), (scores, gradient))
        if graph.needs_gradient(prediction):
            graph.add_gradient(prediction, gradient)
        return scores

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        """Raises where the targets of `data` do not fit predictions of this shape (without the batch)."""
        raise NotImplementedError

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """The answers that outputs (rows, n) stand for."""
        return outputs

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """The probabilities that outputs (rows, n) stand for."""
        raise ConfigurationError(f"{type(self).__name__} has no probabilities; use predict()")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class CrossEntropyLoss(Loss):
    """Categorical cross-entropy from logits (rows, classes) and labels (rows,), averaged over the batch."""

    metrics = ("loss", "accuracy")
    operation = SOFTMAX_CROSS_ENTROPY

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch((1,), "int64", "labels")

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        if len(prediction) != 1:
            raise ShapeError(f"CrossEntropyLoss expects one logit a class in each row, but gets rows of {prediction}")
        data.check_labels(prediction[0])

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """The class of the greatest logit of each row, int64 (rows,)."""
        return np.argmax(outputs, axis=1)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """The softmax of each row, in the outputs' dtype."""
        exps = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return exps / exps.sum(axis=1, keepdims=True)


class MSELoss(Loss):
    """Mean over batch and outputs of (prediction − target)²."""

    operation = SQUARED_ERROR

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch(prediction.shape, name="targets")

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        if data.y is None:
            raise ShapeError(f"{type(self).__name__} needs targets y, but the data set has none")
        shape = tuple(data.y.shape[1:]) or (1,)
        if shape != prediction:
            raise ShapeError(f"targets y have rows of shape {shape}, but the model's outputs {prediction}")


class BCEWithLogitsLoss(MSELoss):
    """Binary cross-entropy of logits (rows, n) and float targets (rows, n) from 0 to 1, mean over batch and outputs.

    One output tells two classes apart; several are labels of which a row may have any. The accuracy is the share of
    rows in which every output is on its target's side of 1/2.
    """

    metrics = ("loss", "accuracy")
    operation = BINARY_CROSS_ENTROPY

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        super().check(data, prediction)
        if not 0 <= float(data.y.min()) <= float(data.y.max()) <= 1:
            raise DataError(
                f"targets y are from {float(data.y.min()):g} to {float(data.y.max()):g}; "
                "BCEWithLogitsLoss expects probabilities from 0 to 1"
            )

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """1 where a logit is above 0, else 0: int64 (rows, n)."""
        return (outputs > 0).astype(np.int64)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """The sigmoid of each logit, in the outputs' dtype."""
        return activate(np, outputs, SIGMOID)


REGISTERED: dict[str, type[Loss]] = {
    "BCEWithLogitsLoss": BCEWithLogitsLoss,
    "CrossEntropyLoss": CrossEntropyLoss,
    "MSELoss": MSELoss,
}
