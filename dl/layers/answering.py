"""What a model answers by itself: outputs, predictions and evaluation, without a trainer; and what a notebook shows."""

from __future__ import annotations

from typing import Any

from ...backends.errors import GearshiftError
from ..notebook import preformatted


class Answering:
    """Base of layers: `predict`, `predict_proba`, `evaluate` and `to_onnx`.

    The work is done by `gearshift.Inference`, which is found through the public names of the package when it is first
    needed: layers know nothing of steps and backends.
    """

    loss: Any = None
    """The loss that the model was trained with, which decides what its outputs mean; saved with the model."""
    _inference: Any = None

    def _repr_html_(self: Any) -> str:
        """In a notebook: the summary, where the layer knows the width of its rows."""
        try:
            return self.summary()._repr_html_()
        except GearshiftError:
            return preformatted(repr(self))

    def outputs(self: Any, x: Any, *, backend: str = "auto") -> Any:
        """The network's raw outputs for x (rows, features): logits, or values as the network learned them.

        ``model(x)`` is the same with ``backend="auto"``. Dropout and noise are off.

        Returns
        -------
        array
            (rows, n) in the model's dtype, on the host.

        Examples
        --------
        >>> model = gs.Sequential(gs.Linear(4, 3))
        >>> model(np.ones((2, 4))).shape
        (2, 3)
        """
        return self._answering(backend).outputs(x)

    def predict(self: Any, x: Any, *, backend: str = "auto") -> Any:
        """Predictions for x (rows, features): class names (rows,) of a classifier, otherwise values (rows, n).

        Classes without names are integers 0, 1, …; values are in the targets' units. With a `JointLoss`, the result is
        a dictionary by heads.

        Parameters
        ----------
        x : (rows, features) as in training: arrays, or a data frame, whose columns are matched by name.
        backend : ``"auto"``, or a name of `gearshift.backends.available`.

        Raises
        ------
        DataError
            The rows do not fit the model, or its outputs for a row are NaN or infinite.

        Examples
        --------
        >>> model = gs.load("digits.safetensors")
        >>> labels = model.predict(data.test.x[:3])
        """
        return self._answering(backend).predict(x)

    def predict_proba(self: Any, x: Any, *, backend: str = "auto") -> Any:
        """The probability of each class for x (rows, features): (rows, classes), in the order of `classes`.

        Raises
        ------
        ConfigurationError
            The model was trained with a loss without probabilities.
        DataError
            As for `predict`.
        """
        return self._answering(backend).predict_proba(x)

    def evaluate(
        self: Any, data: Any, y: Any = None, *, backend: str = "auto", report: bool = False
    ) -> dict[str, float]:
        """The loss, and accuracy or R², of the model on a data set, as `Trainer.evaluate`.

        Parameters
        ----------
        data, y : a `Dataset`, or arrays x and y. In arrays, y holds class names as `predict` returns them. A model
            trained on a table finds the target in a data frame that has it, and y can be left out.
        backend : ``"auto"``, or a name of `gearshift.backends.available`.
        report : add precision and recall.

        Raises
        ------
        DataError
            The rows or targets do not fit the model, or there are no targets.
        """
        return self._answering(backend).evaluate(data, y, report=report)

    def to_onnx(self: Any, path: Any, *, features: int | None = None) -> None:
        """Writes the model as an ONNX file; see `gearshift.to_onnx`."""
        from ... import to_onnx

        to_onnx(self, path, features=features)

    def _answering(self: Any, backend: str) -> Any:
        """What answers for this model on a backend; made again if the model has changed other than in its weights."""
        from ... import Inference

        found = self._inference
        if found is None or not found.serves(self, backend):
            found = self._inference = Inference(self, backend=backend)
        return found

    def __getstate__(self) -> dict[str, Any]:
        """A copy makes its own inference."""
        return {name: value for name, value in vars(self).items() if name != "_inference"}
