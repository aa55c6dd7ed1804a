"""Loss functions: the loss and its metrics, and how model outputs become predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ...backends.errors import ConfigurationError, ShapeError
from ...kernels.losses.sample_weights import APPLY_SAMPLE_WEIGHTS
from ...kernels.operation import Operation
from ..data import Dataset
from ..data.target_scaling import TargetScaling
from ..graph.graph import Graph, Value
from ..registered import Registered

small_is_zero = np.errstate(under="ignore")  # a probability that underflows is 0, which is no error


class Loss(Registered):
    """Base class of losses. `metrics` names the columns of the scores that its operation writes, the loss first.

    Examples
    --------
    >>> @gs.loss  # makes a class that derives from it
    ... def relative_error(output, target):
    ...     return gs.xp.abs(output / target - 1).mean(axis=-1)
    >>> isinstance(relative_error(), gs.Loss)
    True
    """

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
        graph.apply(APPLY_SAMPLE_WEIGHTS, (weight, *plain), (scores, gradient))
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
