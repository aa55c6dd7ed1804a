"""Losses: what is minimised, what is reported beside it, and how outputs become answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..backends.errors import ConfigurationError, DataError, ShapeError
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
        check_values(self, data, prediction)


class BinaryLoss(Loss):
    """Base of the losses of yes-or-no outputs (rows, n), with labels 0 and 1 (rows,) or floats (rows, n) as targets."""

    metrics = ("loss", "accuracy")
    _expected: ClassVar[str] = "targets from 0 to 1"

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch(prediction.shape, name="targets")

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

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Of one output a row, the probabilities of 0 and 1 (rows, 2); else those of 1 (rows, n)."""
        e = np.exp(-np.abs(outputs))
        one = np.where(outputs < 0, e, 1) / (1 + e)
        return np.concatenate([1 - one, one], axis=1) if outputs.shape[1] == 1 else one


def check_values(loss: Loss, data: Dataset, prediction: tuple[int, ...]) -> None:
    """Raises where `data` has no targets, or not one for each output."""
    if data.y is None:
        raise ShapeError(f"{type(loss).__name__} needs targets y, but the data set has none")
    shape = tuple(data.y.shape[1:]) or (1,)
    if shape != prediction:
        raise ShapeError(f"targets y have rows of shape {shape}, but the model's outputs {prediction}")


REGISTERED: dict[str, type[Loss]] = {
    "BCEWithLogitsLoss": BCEWithLogitsLoss,
    "CrossEntropyLoss": CrossEntropyLoss,
    "MSELoss": MSELoss,
}
