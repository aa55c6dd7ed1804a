"""`JointLoss`: the loss of models with several outputs, a weighted sum of one loss per output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError, ShapeError
from ...kernels.arrays.columns import COLUMNS
from ...kernels.losses.joint import JOINT
from ..data import Dataset
from ..data.target_scaling import TargetScaling
from ..graph.graph import Graph, Value
from ..values import require_count, require_number
from .losses import Loss


@dataclass(frozen=True)
class Head:
    """One output of a model in a `JointLoss`.

    Parameters
    ----------
    loss : of this output.
    outputs : number of output columns.
    weight : its weight in the sum, above 0.

    Raises
    ------
    ConfigurationError
        `loss` is not a `Loss` or is a `JointLoss`, `outputs` is below 1, or `weight` is not above 0.

    Examples
    --------
    >>> loss = gs.JointLoss(digit=gs.Head(gs.CrossEntropyLoss(), 10), angle=gs.Head(gs.MSELoss(), 1, weight=0.5))
    >>> trainer = gs.Trainer(gs.Sequential(gs.Linear(64, 11)), loss, gs.Adam(), seed=0)  # 10 + 1 outputs
    """

    loss: Loss
    outputs: int
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.loss, Loss) or isinstance(self.loss, JointLoss):
            raise ConfigurationError(f"Head: loss is {self.loss!r}; expected a gearshift Loss of one output")
        require_count(self, outputs=self.outputs)
        require_number(self, weight=self.weight, above=0)

    def target(self, graph: Graph) -> Value:
        """The value that holds its targets."""
        return self.loss.target(graph, graph.batch((self.outputs,)))


class JointLoss(Loss, named=False):
    """Weighted sum of one loss per model output; outputs and targets are concatenated columns.

    Reports the sum as ``"loss"``, and what each head reports as ``"digit_loss"``, ``"digit_accuracy"`` and so on.
    Predictions and probabilities are dictionaries by head. Targets are a tuple, an array for each head, or an array
    (rows, k) with one column for labels and as many as outputs for values.

    Parameters
    ----------
    heads : by name, in the order of the model's outputs; at least one.

    Raises
    ------
    ConfigurationError
        There are no heads, or an argument is not a `Head`.

    Examples
    --------
    >>> loss = gs.JointLoss(digit=gs.Head(gs.CrossEntropyLoss(), 10), odd=gs.Head(gs.BCEWithLogitsLoss(), 1))
    >>> trainer = gs.Trainer(gs.Sequential(gs.Linear(64, 11)), loss, gs.Adam(lr=1e-2), seed=0)
    >>> history = trainer.fit(x, (y, y % 2), epochs=1, verbose=False)
    >>> {name: labels.shape for name, labels in trainer.predict(x[:5]).items()}
    {'digit': (5,), 'odd': (5,)}
    """

    targets = "values"

    def __init__(self, **heads: Head) -> None:
        if not heads or not all(isinstance(head, Head) for head in heads.values()):
            raise ConfigurationError(f"JointLoss: heads are {heads}; expected at least one gs.Head by name")
        self.heads = heads
        self.compares = any(head.loss.compares for head in heads.values())  # pyright: ignore[reportAttributeAccessIssue]
        parts = (f"{name}_{metric}" for name, head in heads.items() for metric in head.loss.metrics)
        self.metrics = ("loss", *parts)

    def target(self, graph: Graph, prediction: Value) -> Value:
        return graph.batch((sum(head.target(graph).shape[0] for head in self.heads.values()),), graph.dtype, "targets")

    def lower(self, graph: Graph, prediction: Value, target: Value, weight: Value | None = None) -> Value:
        joint, output, column = graph.batch((0,), graph.dtype), 0, 0
        for head in self.heads.values():
            own, wanted = graph.batch((head.outputs,)), head.target(graph)
            graph.apply(COLUMNS, (prediction,), (own,), first=output)
            graph.apply(COLUMNS, (target,), (wanted,), first=column)
            scores, gradient = head.loss.score(graph, own, wanted, weight)
            before, joint = joint, graph.batch((max(joint.shape[0], 1) + scores.shape[0],), graph.dtype)
            scaled = graph.like(gradient)
            graph.apply(JOINT, (before, scores, gradient), (joint, scaled), weight=float(head.weight))
            graph.begin_gradient(own, scaled)
            output, column = output + head.outputs, column + wanted.shape[0]
        return joint

    def check(self, data: Dataset, prediction: tuple[int, ...]) -> None:
        outputs = sum(head.outputs for head in self.heads.values())
        if prediction != (outputs,):
            raise ShapeError(f"the heads of the JointLoss have {outputs} outputs together, but the model {prediction}")
        graph = Graph("float64")
        targets = {name: head.target(graph) for name, head in self.heads.items()}
        width = sum(target.shape[0] for target in targets.values())
        if data.y is None or tuple(data.y.shape[1:]) != (width,):
            found = "missing" if data.y is None else f"of shape {tuple(data.y.shape)}"
            raise ShapeError(f"the targets y are {found}; the heads expect (n, {width}): a tuple, or side by side")
        first = 0
        for name, head in self.heads.items():
            columns = data.y[:, first : first + targets[name].shape[0]]
            first += targets[name].shape[0]
            try:
                if targets[name].dtype == "int64":
                    whole = columns[:, 0].astype(np.int64)
                    if bool((whole != columns[:, 0]).any()):
                        row = int((whole != columns[:, 0]).argmax())
                        raise DataError(f"y[{row}] is {columns[row, 0]}, expected a label")
                    columns = whole
                head.loss.check(data.with_targets(columns), (head.outputs,))
            except (DataError, ShapeError) as error:
                raise type(error)(f"head {name!r}: {error}") from None

    def predict(self, outputs: np.ndarray) -> dict[str, Any]:
        """The predictions of each head, by name."""
        return {name: head.loss.predict(part) for name, head, part in self._parts(outputs)}

    def answers(
        self, outputs: np.ndarray, scaling: TargetScaling | None = None, signed: Sequence[int] = ()
    ) -> dict[str, Any]:
        found = {}
        for (name, head, part), (start, stop) in zip(self._parts(outputs), self.columns, strict=True):
            own = None
            if scaling is not None and head.loss.numbers(stop - start).all():
                own = scaling.columns(start, stop)
            found[name] = head.loss.answers(part, own, [column for column in signed if start <= column < stop])
        return found

    def numbers(self, columns: int) -> np.ndarray:
        """Which target columns hold numbers that may be scaled: (columns,) bool.

        Raises
        ------
        ShapeError
            The heads expect more or fewer columns.
        """
        expected = self.columns[-1][1]
        if columns != expected:
            raise ShapeError(f"the targets y have {columns} columns; the heads of the JointLoss expect {expected}")
        return np.concatenate([head.loss.numbers(stop - start) for head, (start, stop) in self._placed()])

    def signed(self, y: np.ndarray, before: Sequence[int] = ()) -> tuple[int, ...]:
        found = []
        for head, (start, stop) in self._placed():
            known = [column - start for column in before if start <= column < stop]
            found += [start + column for column in head.loss.signed(y[:, start:stop], known)]
        return tuple(found)

    def baseline(self, y: np.ndarray, weight: np.ndarray) -> float | None:
        total = 0.0
        for head, (start, stop) in self._placed():
            own = head.loss.baseline(self._targets(head, y[:, start:stop]), weight)
            if own is None:
                return None
            total += head.weight * own
        return total

    def measures(self, y: np.ndarray, answers: Any, weight: np.ndarray | None, *, scaled: bool) -> dict[str, float]:
        found = {}
        for name, (head, (start, stop)) in zip(self.heads, self._placed(), strict=True):
            own = head.loss.measures(y[:, start:stop], answers[name], weight, scaled=scaled)
            if scaled and "r2" in own and "mse" not in own:  # the head's loss is in scaled units here
                own["mse"] = float(np.average((y[:, start] - answers[name].reshape(-1)) ** 2, weights=weight))
            found |= {f"{name}_{measure}": value for measure, value in own.items()}
        return found

    @property
    def columns(self) -> list[tuple[int, int]]:
        """Where each head's targets begin and end among the columns of y."""
        graph = Graph("float64")
        ends = np.cumsum([0, *(head.target(graph).shape[0] for head in self.heads.values())]).tolist()
        return list(pairwise(ends))

    def _placed(self) -> list[tuple[Head, tuple[int, int]]]:
        return list(zip(self.heads.values(), self.columns, strict=True))

    @staticmethod
    def _targets(head: Head, y: np.ndarray) -> np.ndarray:
        """The columns of a head's targets, as integers where they are labels."""
        return y[:, 0].astype(np.int64) if head.target(Graph("float64")).dtype == "int64" else y

    def probabilities(self, outputs: np.ndarray) -> dict[str, Any]:
        """The probabilities of each head that has classes, by name.

        Raises
        ------
        ConfigurationError
            No head has probabilities.
        """
        found = {}
        for name, head, part in self._parts(outputs):
            if head.loss.targets != "values":
                found[name] = head.loss.probabilities(part)
        return found or super().probabilities(outputs)

    def _parts(self, outputs: np.ndarray) -> list[tuple[str, Head, np.ndarray]]:
        ends = np.cumsum([head.outputs for head in self.heads.values()])
        parts = np.split(outputs, ends[:-1], axis=1)
        return [(name, head, part) for (name, head), part in zip(self.heads.items(), parts, strict=True)]

    def describe(self) -> dict[str, Any]:
        heads = {
            name: {"loss": head.loss.describe(), "outputs": head.outputs, "weight": float(head.weight)}
            for name, head in self.heads.items()
        }
        return {"name": type(self).__name__, "heads": heads}

    def __repr__(self) -> str:
        return f"JointLoss({', '.join(f'{name}={head}' for name, head in self.heads.items())})"
