"""What the present weights answer: evaluation of a data set, and prediction."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError
from ..data import Dataset, as_dataset
from ..data.names import matched
from ..data.rows import flat
from ..graph.graph import Graph, Value
from ..layers.base import Layer
from ..losses.answers import as_learned, check_finite, loss_unit
from ..notebook import table
from ..step.evaluation import Predictor, check_categories
from ..step.plan import underflowing
from .curves import Curves
from .curves import curves as make_curves
from .report import Report
from .report import report as make_report
from .training import Training


class Answers(Training):
    """A training run whose present weights evaluate and predict."""

    def _repr_html_(self) -> str:
        """In a notebook: the settings, and the model's layers."""
        rows = [(name, repr(getattr(self, name))) for name in ("loss", "optimizer", "precision")]
        rows += [("backend", self.backend.name), ("epochs", self.epoch), ("steps", self.step)]
        return table(("Trainer", ""), rows) + self.model._repr_html_()

    @underflowing
    def evaluate(self, data: Any, y: Any = None, *, report: bool = False) -> dict[str, float]:
        """The mean loss over a data set (weighted, if there are sample weights), and the accuracy of a classifier.

        With `MSELoss` and at least two rows, the result has R² as ``"r2"``: the mean over the outputs, as in
        scikit-learn's `r2_score`. With a `target_scaling` of one column, ``"loss"`` has the target's squared units, as
        in the history. With several columns, each squared error is divided by the column's squared scale, and
        ``"mse"`` is the mean squared error. With `report`, the result has precision and recall, too: of the second
        class if there are two, otherwise the means over the classes.

        Parameters
        ----------
        data, y : a `Dataset`, arrays x and y, or a tuple of them. A model of a table (`load_dataset`) takes its target
            columns from a data frame if y is not given.

        Raises
        ------
        DataError
            The model's outputs for a row are NaN or infinite, or a data frame lacks the target and y is not given.
        """
        given = self._matched(self._given_targets(data, y))
        dataset = self._checked(given)
        with self.turns:
            found = self.evaluator(dataset)()
        if not all(map(np.isfinite, found.values())):
            self._outputs(dataset)  # raises, unless the loss alone overflows
        if self.loss.compares:
            weight = None if given.weight is None else given.on_host("weight")
            scaled = self.model.target_scaling is not None
            found |= self.loss.measures(given.on_host("y"), self._answers(given), weight, scaled=scaled)
        return found | self.report(given).means if report else found

    def baseline(self, data: Any, y: Any = None) -> float | None:
        """The lowest loss of a constant prediction on a data set, such as the mean or the class frequencies.

        A model whose loss is not lower has learned nothing from x. None if the loss does not define a baseline.
        """
        dataset = self._checked(self._given_targets(data, y))
        weight = np.ones(len(dataset)) if dataset.weight is None else dataset.on_host("weight")
        found = self.loss.baseline(dataset.on_host("y"), weight / weight.sum())
        return None if found is None else found * loss_unit(self.model, self.loss)

    @underflowing
    def report(self, data: Any, y: Any = None) -> Report:
        """Precision and recall of each class on a data set."""
        dataset = self._matched(self._given_targets(data, y))
        self._checked(dataset)
        return make_report(self.loss, dataset, self._answers(dataset), self.model.classes)

    @underflowing
    def curves(self, data: Any, y: Any = None) -> Curves:
        """The ROC and precision-recall curves of each class against the others on a data set.

        Raises
        ------
        ConfigurationError
            The loss has no probabilities, or a row has several labels.
        DataError
            A class has no rows, or all.
        """
        dataset = self._matched(self._given_targets(data, y))
        self._checked(dataset)
        weight = None if dataset.weight is None else dataset.on_host("weight")
        probabilities = self.loss.probabilities(self._outputs(dataset))
        return make_curves(probabilities, dataset.on_host("y"), weight, self.model.classes)

    @underflowing
    def predict(self, x: Any) -> Any:
        """Predictions for x (rows, features): int64 labels (rows,) for a classifier, otherwise outputs.

        If the model has a `target_scaling`, predictions are float64 in the target's units. With `HingeLoss`, labels are
        −1 and +1 if it was trained on these. With `JointLoss`, the result is a dictionary by heads.

        Raises
        ------
        DataError
            The outputs for a row are NaN or infinite, for example because its values are very large.
        """
        return self._answers(x)

    @underflowing
    def predict_proba(self, x: Any) -> Any:
        """The probability of each class for x (rows, features): (rows, classes).

        Raises
        ------
        DataError
            The outputs for a row are NaN or infinite.
        """
        return self.loss.probabilities(self._outputs(x))

    @underflowing
    def outputs_of(self, layer: Layer, x: Any) -> np.ndarray:
        """The outputs of a layer of the model for rows x given to this layer, for example the codes of an encoder."""
        data, names = self._given(x), self.model.feature_names
        if names is not None and {*names} & {*(data.feature_names or ())}:  # else these are not the model's columns
            data = matched(data, names)
        with self.turns:
            own = {id(parameter) for _, parameter in layer.named_parameters()}  # another thread may read their names
            if not own <= {*map(id, self.model.parameters())}:  # this gives the names by which the arena knows them
                raise ConfigurationError(f"outputs_of: {layer!r} is no layer of the model; expected one, as model[0]")
            predictor = Predictor(layer, self.backend, self.state.arena, flat(data.x).shape[1], self.precision)
            check_categories(predictor.program.graph, predictor.program.x, data)
            return self._finite(predictor(data.x), data.x)

    def _given(self, data: Any, y: Any = None) -> Dataset:
        """What was given, as a data set; a data frame with the columns of the training's is prepared as they were."""
        preparation = self.model.preparation
        frame, *rest = data if isinstance(data, tuple) else (data,)
        if preparation is None or not hasattr(frame, "columns") or {*frame.columns} == {*preparation.feature_names}:
            return as_dataset(data, y)
        from ..data.model_rows import feature_rows

        rows = feature_rows(frame, preparation)
        for remark in rows.remarks:
            warnings.warn(remark, stacklevel=4)
        return as_dataset((rows.dataset.x, *rest) if rest else rows.dataset.x, y)

    def _given_targets(self, data: Any, y: Any = None) -> Dataset:
        """What was given, as a data set; without y, with the target columns of a data frame of the training's."""
        preparation = self.model.preparation
        if y is not None or preparation is None or not preparation.target or not hasattr(data, "columns"):
            return self._given(data, y)
        from ..data.model_rows import targets_of

        found = targets_of(data, preparation)
        return as_dataset(self._given(data).x, self._labels(found) if self._names else found)

    @property
    def _names(self) -> list[int | str]:
        """The class names that labels stand for; none where predictions are values, or already −1 and 1."""
        signed = self.model.signed_targets or self.loss.targets == "values"
        return [] if signed else self.model.classes or []

    def _labels(self, y: Any) -> np.ndarray:
        """The labels 0, 1, … of class names."""
        names = np.array(self._names)
        y = np.asarray(y)
        if (y.dtype.kind == "O") or (y.dtype.kind in "UT") != (names.dtype.kind == "U"):
            y = y.astype(names.dtype)
        order = np.argsort(names)
        places = order[np.searchsorted(names, y, sorter=order).clip(max=len(names) - 1)]
        strange = names[places] != y
        if strange.any():
            known = ", ".join(map(repr, names[:10].tolist()))
            raise DataError(f"y[{int(strange.argmax())}] is {y[strange][0].item()!r}; the model's classes are {known}")
        return places

    def _answers(self, x: Any) -> Any:
        return self.loss.answers(self._outputs(x), self.model.target_scaling, self.model.signed_targets)

    def _outputs(self, x: Any) -> np.ndarray:
        data = matched(self._given(x), self.model.feature_names)
        rows, width = data.x, flat(data.x).shape[1]
        with self.turns:
            arena = self.state.arena
            if self._predictor is None or self._predictor.width != width or self._predictor.plan.arena is not arena:
                self._predictor = Predictor(self.model, self.backend, arena, width, self.precision)
            check_categories(self._predictor.program.graph, self._predictor.program.x, data)
            return self._finite(self._predictor(rows), rows)

    def _finite(self, outputs: np.ndarray, rows: Any) -> np.ndarray:
        if not np.isfinite(outputs).all():
            check_finite(outputs, rows, self.model.state_dict())
        return outputs

    def _learned(self, data: Dataset) -> Dataset:
        """The data set with columns in the model's order, and targets as the model learns them."""
        return as_learned(self._matched(data), self.model, self.loss)

    def _checked(self, data: Dataset) -> Dataset:
        """The same, where it fits the model and the loss."""
        data = self._learned(data)
        graph, x, output = self._lowered(data)
        self.loss.check(data, output.example_shape)
        check_categories(graph, x, data)
        return data

    def _matched(self, data: Dataset) -> Dataset:
        """The data set with columns and classes in the model's order."""
        return matched(data, self.model.feature_names, None if self.loss.targets == "values" else self.model.classes)

    def _lowered(self, data: Dataset) -> tuple[Graph, Value, Value]:
        """The model's graph for rows of a data set, its input and its output."""
        graph = Graph(self.model.dtype)
        self.model.parameters()
        x = graph.batch((flat(data.x).shape[1],))
        return graph, x, graph.lower(self.model, x)

    def _classes(self, data: Dataset) -> int:
        """How many classes the model tells apart."""
        if self.loss.targets == "values":
            raise ConfigurationError(f"class_weight is given, but {self.loss!r} learns numbers and has no classes")
        return 2 if self.loss.targets == "binary" else self._lowered(data)[2].example_shape[-1]
