"""`Inference`: a model's answers with its present weights, without a training run."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends.errors import CheckpointError, ConfigurationError
from ..data import Dataset
from ..layers.base import Layer
from ..losses.classes import CrossEntropyLoss
from ..losses.losses import Loss
from ..losses.values import MSELoss
from ..optimizers.sgd import SGD
from ..step.state import TrainingState
from .answers import Answers


class Inference(Answers):
    """Answers of a model with its present weights; `Layer.predict`, `predict_proba` and `evaluate` use it.

    It copies the weights at each call, so a model that is being trained answers with the weights of that moment, and
    nothing of the training changes.

    Parameters
    ----------
    model : its weights are drawn from seed 0 if it has none.
    loss : decides what the outputs mean; by default the model's `loss`, otherwise cross-entropy if the model has class
        names, otherwise values.
    backend : ``"auto"``, or a name of `gearshift.backends.available`.

    Raises
    ------
    ConfigurationError
        `model` is no layer.
    BackendUnavailable
        A backend asked for by name cannot run here.

    Examples
    --------
    >>> gs.Inference(gs.load("digits.safetensors"), backend="numpy").predict(data.test.x)
    """

    def __init__(self, model: Layer, loss: Loss | None = None, *, backend: str = "auto") -> None:
        if not isinstance(model, Layer):
            raise ConfigurationError(f"Inference: model is {model!r}; expected a gearshift Layer, as gs.load returns")
        self._known = loss is not None or model.loss is not None or model.classes is not None
        usual: Loss = MSELoss() if model.classes is None else CrossEntropyLoss()
        super().__init__(model, loss or model.loss or usual, SGD(), backend=backend)
        self._key = self._key_of(model, backend)

    def _key_of(self, model: Layer, backend: str) -> tuple[Any, ...]:
        return backend, model.dtype, id(model.loss), model.classes is None, [id(p) for p in model.parameters()]

    def serves(self, model: Layer, backend: str) -> bool:
        """Whether this still fits a model, whose weights alone may have changed."""
        return model is self.model and self._key == self._key_of(model, backend)

    def _present_state(self) -> TrainingState:
        """The model's weights, copied; they stay where they are."""
        if self._state is None:
            self._state = TrainingState(self.spec, self.backend, self.turns)
        self._state.arena.take()
        return self._state

    def outputs(self, x: Any) -> np.ndarray:
        """The network's outputs (rows, n) for x (rows, features)."""
        return self._outputs(x)

    def predict(self, x: Any) -> Any:
        """Class names (rows,), or values (rows, n); by heads, a dictionary of them."""
        answers = super().predict(x)
        return self.named(answers) if self._names else answers

    def predict_proba(self, x: Any) -> Any:
        """The probability of each class (rows, classes).

        Raises
        ------
        ConfigurationError
            The model's loss is not known, or has no probabilities.
        """
        if not self._known:
            raise ConfigurationError(
                "predict_proba: the model's loss is not known, so its outputs may be anything; train it first, or set "
                "it, as in model.loss = gs.CrossEntropyLoss()"
            )
        return super().predict_proba(x)

    def named(self, labels: np.ndarray) -> np.ndarray:
        """The class names of labels 0, 1, …

        Raises
        ------
        CheckpointError
            There is a label without a name.
        """
        classes = self._names
        if labels.size and labels.max() >= len(classes):
            raise CheckpointError(f"the model answers with class {labels.max()}, but only {len(classes)} have names")
        return np.array(classes)[labels]

    def _given(self, data: Any, y: Any = None) -> Dataset:
        """A data set; class names in y become labels, except in a `Dataset`, which has labels."""
        if self._names and not isinstance(data, Dataset):
            x, y, *weight = data if isinstance(data, tuple) else (data, y)
            if y is not None:
                return super()._given((x, self._labels(y), *weight))
            return super()._given(x)
        return super()._given(data, y)
