"""Loss functions: the loss and its metrics, and how model outputs become predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ...backends.errors import ConfigurationError, DataError, ShapeError
from ...kernels.losses.multiclass_hinge import MULTICLASS_HINGE
from ...kernels.losses.sample_weights import WEIGH
from ...kernels.losses.soft_cross_entropy import SOFT_CROSS_ENTROPY
from ...kernels.losses.softmax_cross_entropy import SOFTMAX_CROSS_ENTROPY
from ...kernels.losses.squared_error import SQUARED_ERROR
from ...kernels.operation import Operation
from ...kernels.tracing import xp
from ..data import Dataset
from ..data.dataset import labels_of
from ..data.target_scaling import TargetScaling
from ..graph.graph import Graph, Value
from ..registered import Registered
from .traced import traced_score

small_is_zero = np.errstate(under="ignore")  # a probability that underflows is 0, which is no error


class Loss(Registered):
    """Base class of losses. `metrics` names the columns of the scores that its operation writes, the loss first."""

    metrics: tuple[str, ...] = ("loss",)
    compares: ClassVar[bool] = False
    """Whether `measures` reports metrics that compare predictions with targets."""
    squared: ClassVar[bool] = False
    """Whether the loss is in squared units of the target."""
    targets: ClassVar[str] = "classes"
    """The task: ``"classes"`` (one output per class), ``"binary"`` (one output) or ``"values"``."""
    operation: ClassVar[Operation]
    registered: ClassVar[dict[str, type[Loss]]]

    @property
    def attributes(self) -> dict[str, int | float]:
        """Attributes of the operation."""
        return {}

    def target(self, graph: Graph, prediction: Value) -> Value:
        """The value that holds the targets for predictions of this shape."""
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
            There are sample weights, and the model has several output rows per example.
        """
        self._check_weight(prediction, weight)
        each, dtype = prediction.rows_per_example, graph.dtype if graph.scaled else prediction.dtype
        scores = graph.batch((len(self.metrics),), graph.dtype, rows_per_example=each)
        gradient = graph.batch(prediction.shape, dtype, rows_per_example=each)
        graph.apply(self.operation, (prediction, target), (scores, gradient), **self.attributes)
        return self._weighted(graph, weight, scores, gradient)

    def _check_weight(self, prediction: Value, weight: Value | None) -> None:
        if weight is not None and prediction.rows_per_example != weight.rows_per_example:
            raise ConfigurationError(
                f"{type(self).__name__}: sample weights need one output row per example, but the model's outputs are "
                f"{prediction.example_shape}; train sequences without sample weights"
            )

    @staticmethod
    def _weighted(graph: Graph, weight: Value | None, scores: Value, gradient: Value) -> tuple[Value, Value]:
        """The scores and the gradient, times the weights of the rows."""
        if weight is None:
            return scores, gradient
        plain, scores, gradient = (scores, gradient), graph.like(scores), graph.like(gradient)
        graph.apply(WEIGH, (weight, *plain), (scores, gradient))
        return scores, gradient

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        """Checks that the targets fit the shape of the predictions per example.

        Raises
        ------
        ShapeError
            There are no targets, or they have another shape.
        DataError
            A label or value is not valid for the loss.
        """
        raise NotImplementedError

    def predict(self, outputs: np.ndarray) -> Any:
        """The predictions for model outputs (rows, n)."""
        return outputs

    def answers(self, outputs: np.ndarray, scaling: TargetScaling | None = None, signed: Sequence[int] = ()) -> Any:
        """`predict`, with the units and labels of the training targets.

        Parameters
        ----------
        scaling : the model's `target_scaling`.
        signed : the model's `signed_targets`: columns of the targets that were −1 and +1.
        """
        answers = self.predict(outputs)
        return answers if scaling is None else scaling.restored(answers)

    def probabilities(self, outputs: np.ndarray) -> Any:
        """The probabilities for model outputs (rows, n).

        Raises
        ------
        ConfigurationError
            The loss has no probabilities.
        """
        raise ConfigurationError(f"{type(self).__name__} has no probabilities; use predict()")

    def numbers(self, columns: int) -> np.ndarray:
        """Which target columns hold numbers that may be scaled: (columns,) bool."""
        return np.full(columns, self.targets == "values")

    def signed(self, y: np.ndarray, before: Sequence[int] = ()) -> tuple[int, ...]:
        """The columns of y with labels −1 and +1 (instead of 0 and 1); `before` if y does not determine it."""
        return ()

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        """The smallest loss of a constant prediction; None if unknown.

        A model whose loss is not lower has learned nothing from its inputs.

        Parameters
        ----------
        y : targets that `check` has passed.
        weight : (rows,) sample weights with sum 1.
        """
        return None

    def measures(self, y: np.ndarray, answers: Any, weight: np.ndarray | None, *, scaled: bool) -> dict[str, float]:
        """Further metrics for `Trainer.evaluate`; y and `answers` (the predictions) are in the target's units.

        Parameters
        ----------
        weight : (rows,) or None.
        scaled : whether the model learned scaled targets.
        """
        return {}

    def describe(self) -> dict[str, Any]:
        """The loss as JSON values, which a file of the model keeps."""
        return {"name": type(self).__name__}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class CrossEntropyLoss(Loss):
    """Categorical cross-entropy from logits (rows, classes) and labels (rows,), averaged over the batch.

    Sequences have a row of logits and a label per token: labels (examples, tokens). Padding tokens count like any
    other token; there is no `ignore_index`.

    Parameters
    ----------
    label_smoothing : the share of each target that is spread over all classes (Szegedy et al. 2016), below 1.

    Raises
    ------
    ConfigurationError
        `label_smoothing` is not a number of at least 0 and below 1.
    """

    metrics = ("loss", "accuracy")
    operation = SOFTMAX_CROSS_ENTROPY
    label_smoothing = 0.0

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not isinstance(label_smoothing, int | float) or not 0 <= label_smoothing < 1:
            raise ConfigurationError(
                f"{type(self).__name__}: label_smoothing is {label_smoothing!r}; expected a number from 0 to below 1"
            )
        self.label_smoothing = float(label_smoothing)

    def score(self, graph: Graph, prediction: Value, target: Value, weight: Value | None) -> tuple[Value, Value]:
        if not self.label_smoothing:
            return super().score(graph, prediction, target, weight)
        self._check_weight(prediction, weight)
        scored = traced_score(graph, type(self).__name__, self._smoothed, self.targets, prediction, target)
        return self._weighted(graph, weight, *scored)

    def _smoothed(self, output: Any, target: Any) -> Any:
        """The loss of each row with smoothed labels."""
        right, share = xp.arange(output.shape[-1]) == target[:, None], self.label_smoothing
        log_p = xp.log_softmax(output)
        return -(1 - share) * xp.where(right, log_p, 0.0).sum(axis=-1) - share * log_p.mean(axis=-1)

    def describe(self) -> dict[str, Any]:
        arguments = {"label_smoothing": self.label_smoothing} if self.label_smoothing else {}
        return {**super().describe(), **({"arguments": arguments} if arguments else {})}

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch((prediction.rows_per_example,), "int64", "labels")

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        if len(prediction) not in (1, 2):
            raise ShapeError(f"CrossEntropyLoss expects rows of one logit per class, but gets shape {prediction}")
        data.check_labels(prediction[-1])
        labels = data.y.size // len(data)
        if labels != math.prod(prediction[:-1]):
            way_out = labels_of(data.y) if len(prediction) == 1 else ""
            raise ShapeError(f"targets y have {labels} labels a row, but the model's outputs are {prediction}{way_out}")

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
        labels = y.reshape(len(y), -1)
        shares = np.bincount(labels.ravel(), np.repeat(weight, labels.shape[1]) / labels.shape[1])
        return entropy(shares)


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
        """R² (for two rows or more), and the mean squared error if ``"loss"`` has other units."""
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
    counts rows whose largest logit is at the target's largest share.
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


def entropy(shares: np.ndarray) -> float:
    """The entropy of class shares, in nats."""
    shares = np.asarray(shares, np.float64)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def check_values(loss: Loss, data: Dataset, prediction: tuple[int, ...]) -> None:
    """Raises ShapeError if `data` does not have one target per output."""
    if data.y is None:
        raise ShapeError(f"{type(loss).__name__} needs targets y, but the data set has none")
    shape = tuple(data.y.shape[1:]) or (1,)
    if shape != prediction:
        raise ShapeError(f"targets y have rows of shape {shape}, but the model's outputs have shape {prediction}")
