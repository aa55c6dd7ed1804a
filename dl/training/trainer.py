"""Training, evaluation and prediction: what a user calls."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ... import backends
from ...backends import Backend
from ...backends.errors import ConfigurationError
from ..data import Dataset, as_dataset
from ..data.names import matched
from ..data.rows import Order, flat
from ..data.streamed import rows_of
from ..data.weights import with_class_weights
from ..graph.graph import Graph, Value
from ..layers.base import Layer, input_shape_of
from ..losses.answers import as_learned, check_finite, loss_unit
from ..losses.losses import Loss
from ..optimizers.base import Optimizer
from ..optimizers.groups import ParameterGroup
from ..optimizers.regularizers import Regularizer
from ..optimizers.schedules import Schedule
from ..step.evaluation import Evaluator, Predictor, check_categories, means
from ..step.explanation import explain
from ..step.memory import Demand, exceeds
from ..step.plan import underflowing
from ..step.precision import PRECISIONS, check_precision
from ..step.program import Program, training
from ..step.spec import StepSpec
from ..step.state import TrainingState
from ..turns import Turns
from .arguments import check_fit, check_trainer
from .callbacks import Callback
from .early_stopping import EarlyStopping
from .history import History
from .interrupts import in_notebook, interrupts, unswallowed
from .loop import EVALUATION_ROWS, Loop
from .report import Report
from .report import report as make_report

FIXED = {
    "model": "make a new Trainer of the other model",
    "seed": "draw other weights with trainer.restart(seed), or make a new Trainer",
    "precision": "save, and load into a Trainer of the other precision",
    "backend": "move with trainer.to(name)",
}
"""Attributes that cannot be replaced during a run, and what to do instead."""


class Trainer:
    """Trains a model on one backend.

    You can change settings between and during calls of `fit`, for example ``trainer.optimizer.lr = 1e-4``. The next
    step uses them. Copies made with `copy` or `pickle` have their own model and continue with bit-identical results.
    Several threads may use one trainer, but only one of them may train it.

    Parameters
    ----------
    model : its weights are drawn from `seed` when they are first needed; existing weights are kept.
    loss : the loss to minimise.
    optimizer : its weight decay applies to weights, not to biases.
    schedule : multiplies the optimizer's learning rate at each step; constant by default.
    clip_norm : maximum norm of the gradient; None does not clip.
    clip_value : each element of the gradient is clipped to ±clip_value, before `clip_norm`; None does not clip.
    precision : ``"float32"`` and ``"float64"`` for all numbers; None uses the model's dtype. On a GPU also
        ``"tf32"``: float32, but products may round their inputs to a 10-bit mantissa;
        ``"bfloat16"``: activations and inputs of products in bfloat16, the rest in float32;
        ``"float16"``: likewise in float16, with dynamic loss scaling.
    backend : ``"auto"``, or a name of `gearshift.backends.available`.
    seed : 0 to 2⁶⁴ − 1: the key of weights, shuffling and dropout.
    groups : parameters with a separate learning rate or weight decay.
    regularizer : `L1` or `SoftThreshold`, for weights, not for biases; the reported loss does not include it.

    Raises
    ------
    ConfigurationError
        An argument has the wrong type or is out of its range, or the backend lacks the precision.
    BackendUnavailable
        A backend asked for by name cannot run here.

    Attributes
    ----------
    epoch, step : number of finished epochs and steps.
    epochs : the current `fit` ends after so many finished epochs.
    samples : rows of the training data.
    history : a record of each finished epoch.
    introduced : whether the progress display has printed the backend.
    goes_on : whether the next `fit` continues the early stopping of the previous one.
    """

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        *,
        schedule: Schedule | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        precision: str | None = None,
        backend: str | None = "auto",
        seed: int = 0,
        groups: Sequence[ParameterGroup] = (),
        regularizer: Regularizer | None = None,
    ) -> None:
        groups = tuple(groups)
        check_trainer(model, loss, optimizer, schedule, clip_norm, clip_value, seed, groups, regularizer)
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.schedule, self.seed = schedule or Schedule(), int(seed)
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.groups, self.regularizer = groups, regularizer
        self.backend: Backend = backends.get(backend)
        self.precision = precision or model.dtype
        check_precision(self.precision, model.dtype, self.backend)
        self.epoch = self.epochs = self.samples = 0
        self.history = History()
        self.early_stopping = EarlyStopping()
        self.goes_on = self.introduced = self._fitting = False
        self.turns = Turns()
        self._stop = self._stopped = ""
        self._state: TrainingState | None = None
        self._made_for: dict[str, Any] = {}
        self._predictor: Predictor | None = None

    def __repr__(self) -> str:
        return (
            f"Trainer({type(self.model).__name__}, {self.loss!r}, {self.optimizer!r}, backend={self.backend.name!r}, "
            f"precision={self.precision!r}, epoch={self.epoch})"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Everything, with arrays on the host: from it another trainer goes on to the same bits."""
        with self.turns:
            run = None if self._state is None else (self.state.pack(), self.state.step, self.state.cursor)
            own = {"_state": run, "_predictor": None, "_fitting": False, "_made_for": {}}
            return {**vars(self), **own, "history": History([*self.history]), "choices": self.backend.choices}

    def __setstate__(self, own: dict[str, Any]) -> None:
        run, choices = own.pop("_state"), own.pop("choices")
        vars(self).update(own, _state=None)
        self.backend.restore(choices)
        if run is not None:
            self.state.unpack(*run)

    def __copy__(self) -> Trainer:
        return copy.deepcopy(self)

    @property
    def spec(self) -> StepSpec:
        """What a training step is made of, with the present settings."""
        return StepSpec(
            self.model,
            self.loss,
            self.optimizer,
            self.schedule,
            self.groups,
            self.clip_norm,
            self.clip_value,
            self.regularizer,
            self.precision,
            self.seed,
        )

    @property
    def state(self) -> TrainingState:
        """The run's arrays; created when first needed, and updated if weights were set from outside."""
        with self.turns:
            return self._present_state()

    def _present_state(self) -> TrainingState:
        self._check_fixed()
        if PRECISIONS[self.precision] != self.model.dtype:  # `astype` was called meanwhile
            check_precision(self.precision, self.model.dtype, self.backend)
        if self._state is None:
            self._state = TrainingState(self.spec, self.backend, self.turns)
            self._made_for = {name: getattr(self, name) for name in FIXED}
        self._state.arena.attach()
        self._state.arena.refresh()
        return self._state

    def check(self) -> None:
        """Checks settings that were changed by hand.

        Raises
        ------
        ConfigurationError
            One has the wrong type or is out of its range, or cannot change once training has begun.
        """
        check_trainer(
            self.model,
            self.loss,
            self.optimizer,
            self.schedule,
            self.clip_norm,
            self.clip_value,
            self.seed,
            self.groups,
            self.regularizer,
        )
        self._check_fixed()
        if self._state is not None and len(self._state.totals) != 1 + len(self.loss.metrics):
            raise ConfigurationError(
                f"trainer.loss is {self.loss!r} now, which measures {', '.join(self.loss.metrics)}: training began "
                "with a loss of other measures; make a new Trainer of trainer.model"
            )

    def _check_fixed(self) -> None:
        for name, made_for in self._made_for.items():
            present = getattr(self, name)
            if present is not made_for and (name in ("model", "backend") or present != made_for):
                raise ConfigurationError(f"trainer.{name} cannot change once training has begun: {FIXED[name]}")

    @property
    def started(self) -> bool:
        """Whether the run's arrays have been made."""
        return self._state is not None

    @property
    def step(self) -> int:
        """Steps taken since training began."""
        return self._state.step if self._state else 0

    @property
    def stopped(self) -> str:
        """Why training ended early: ``"patience"``, ``"loss"``, ``"interrupt"``, the argument of `stop`, or ""."""
        return self._stop or self._stopped

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called and no `fit` has ended because of it yet."""
        return bool(self._stop)

    def stop(self, reason: str = "stop") -> None:
        """Ends training at the next batch boundary, where it can be saved and resumed.

        Outside `fit`, the next `fit` ends before its first batch.
        """
        self._stop = reason

    @underflowing
    def fit(
        self,
        data: Any,
        y: Any = None,
        *,
        validation: Any = None,
        epochs: int = 1,
        batch_size: int = 32,
        patience: int | None = None,
        monitor: str = "validation_loss",
        loss_goal: float | None = None,
        order: Order = "shuffled",
        accumulate: int = 1,
        class_weight: Any = None,
        callbacks: Sequence[Callback] = (),
        verbose: bool = True,
    ) -> History:
        """Trains for `epochs` more epochs. An interrupted epoch is finished first and counts as one of them.

        Parameters
        ----------
        data, y : a `Dataset`, arrays x and y, or a tuple (x, y) or (x, y, weight) with sample weights. If x has column
            names, such as a data frame, the model stores them; later data frames are matched by name.
        validation : likewise; evaluated after each epoch.
        batch_size : rows per step, or all rows if there are fewer. The last batch of an epoch may be smaller.
        patience : stops after this many epochs without improvement, and restores the best weights. Each `fit` starts
            counting anew, unless the previous one was stopped or resumed from a checkpoint within it.
        monitor : the measure for `patience`: ``"validation_loss"``, ``"validation_accuracy"``, …
        loss_goal : stops after the first epoch whose training loss is at most this.
        order : how rows are drawn: ``"shuffled"``, without replacement, anew in each epoch; ``"once"``, in the first
            epoch's order; ``"replacement"``, with replacement.
        accumulate : number of parts of a minibatch whose gradients are added up. This saves memory.
        class_weight : ``"balanced"``, a list with a weight for each class, or a dict of classes and weights (1 for
            others). Its keys are the model's class names if it has any, otherwise labels. In training, the sample
            weights are multiplied by the class weights. Validation uses its own sample weights only.
        callbacks : see `Callback`.
        verbose : show progress on standard error.

        Returns
        -------
        History
            Records of all epochs so far. In a notebook, also after an interrupt. Elsewhere, Ctrl-C raises
            KeyboardInterrupt at the next batch boundary, where the trainer can be saved.

        Raises
        ------
        NonFiniteLoss
            The loss became NaN or infinite; the weights are those before the step.
        ConfigurationError
            A number is too small, `monitor` is not measured, a changed setting is invalid, or another call of `fit` is
            still training.
        ShapeError, DataError
            Rows or targets do not fit the model and the loss.
        DeviceMemoryError
            The run does not fit into the device's memory; nothing was allocated.
        """
        with self.turns:
            if self._fitting:
                raise ConfigurationError(
                    "fit: this trainer is being trained already, by a call of fit that has not ended; wait for that, "
                    "or train a copy, copy.deepcopy(trainer)"
                )
            self._fitting = True
        try:
            self._settle()
            check_fit(
                self.loss,
                self.optimizer,
                validation=validation,
                epochs=epochs,
                batch_size=batch_size,
                patience=patience,
                monitor=monitor,
                loss_goal=loss_goal,
                order=order,
                accumulate=accumulate,
            )
            given = as_dataset(data, y)  # labels are checked before they choose weights, else with the step's program
            dataset = self._learned(given) if class_weight is None else self._checked(given)
            names, classes = dataset.feature_names, dataset.classes
            held_out = None
            if validation is not None:
                held_out = self._learned(matched(as_dataset(validation), names, classes))
            if class_weight is not None:
                names_of = self.model.classes or classes
                dataset = with_class_weights(dataset, class_weight, self._classes(dataset), names_of)
            callbacks = [*callbacks]
            if verbose:
                from .progress import introduce, progress

                introduce(self)
                callbacks.append(progress())
            with unswallowed(), self.turns:
                loop = Loop(self, dataset, held_out, int(batch_size), loss_goal, order, int(accumulate))
                self._begin(monitor, patience, int(epochs))
            self.model.feature_names = self.model.feature_names or names
            self.model.signed_targets = self.loss.signed(dataset.y, self.model.signed_targets)
            if self.loss.targets != "values":
                self.model.classes = self.model.classes or classes
            self._run(loop, callbacks)
        finally:
            self._fitting = False
        if self.stopped == "interrupt" and not in_notebook():
            raise KeyboardInterrupt
        return self.history

    def _settle(self) -> None:
        """Applies settings changed since the last `fit`; before the first step, everything may change."""
        state = self._state
        try:
            self.check()
            if state is not None:
                state.follow(self.optimizer, self.schedule, self.groups)
        except ConfigurationError:
            if state is None or state.step or state.cursor:
                raise
            self._state, self._made_for = None, {}
            self.check()

    def _begin(self, monitor: str, patience: int | None, epochs: int) -> None:
        """Prepares a `fit`; early stopping starts anew unless this continues a stopped `fit`."""
        if not self.goes_on or monitor != self.early_stopping.monitor:
            self.early_stopping = EarlyStopping(monitor=monitor)
        self.early_stopping.patience = patience
        self._stopped = ""  # a stop asked for since the last `fit` holds
        self.epochs = self.epoch + epochs
        self.goes_on = epochs > 0

    def _run(self, loop: Loop, callbacks: list[Callback]) -> None:
        begun: list[Callback] = []
        try:
            for callback in callbacks:
                callback.on_train_begin(self)
                begun.append(callback)
            with interrupts(self.stop):
                loop.run(callbacks)
        finally:
            self._stopped, self._stop = self._stop, ""
            with ExitStack() as ends:  # every callback, also if one raises
                for callback in reversed(begun):
                    ends.callback(callback.on_train_end, self, self.history)
        if self.epoch >= self.epochs or self.stopped in ("patience", "loss"):
            self._restore_best()

    @underflowing
    def evaluate(self, data: Any, y: Any = None, *, report: bool = False) -> dict[str, float]:
        """The mean loss over a data set (weighted, if there are sample weights), and the accuracy of a classifier.

        With `MSELoss` and at least two rows, the result has R² as ``"r2"``: the mean over the outputs, as in
        scikit-learn's `r2_score`. With a `target_scaling` of one column, ``"loss"`` has the target's squared units, as
        in the history. With several columns, each squared error is divided by the column's squared scale, and
        ``"mse"`` is the mean squared error. With `report`, the result has precision and recall, too: of the second
        class if there are two, otherwise the means over the classes.

        Raises
        ------
        DataError
            The model's outputs for a row are NaN or infinite.
        """
        given = self._matched(as_dataset(data, y))
        dataset = self._checked(given)
        with self.turns:
            found = self.evaluator(dataset)()
        if not all(map(np.isfinite, found.values())):
            self._outputs(dataset)  # raises, unless the loss alone overflows
        if self.loss.compares:
            weight = None if given.weight is None else given.on_host("weight")
            scaled = self.model.target_scaling is not None
            found |= self.loss.measures(given.on_host("y"), self.predict(given), weight, scaled=scaled)
        return found | self.report(given).means if report else found

    def baseline(self, data: Any, y: Any = None) -> float | None:
        """The lowest loss of a constant prediction on a data set, such as the mean or the class frequencies.

        A model whose loss is not lower has learned nothing from x. None if the loss does not define a baseline.
        """
        dataset = self._checked(as_dataset(data, y))
        weight = np.ones(len(dataset)) if dataset.weight is None else dataset.on_host("weight")
        found = self.loss.baseline(dataset.on_host("y"), weight / weight.sum())
        return None if found is None else found * loss_unit(self.model, self.loss)

    @underflowing
    def report(self, data: Any, y: Any = None) -> Report:
        """Precision and recall of each class on a data set."""
        dataset = self._matched(as_dataset(data, y))
        self._checked(dataset)
        return make_report(self.loss, dataset, self.predict(dataset), self.model.classes)

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
        return self.loss.answers(self._outputs(x), self.model.target_scaling, self.model.signed_targets)

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
        data, names = as_dataset(x), self.model.feature_names
        if names is not None and {*names} & {*(data.feature_names or ())}:  # else these are not the model's columns
            data = matched(data, names)
        with self.turns:
            self.model.parameters()  # gives names, by which the arena knows the layer's
            predictor = Predictor(layer, self.backend, self.state.arena, flat(data.x).shape[1], self.precision)
            check_categories(predictor.program.graph, predictor.program.x, data)
            return self._finite(predictor(data.x), data.x)

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint to continue training with bit-identical results; `gearshift.load` reads its model."""
        from .checkpoint import save_trainer

        with self.turns:
            save_trainer(self, path)

    def load(self, path: str | Path) -> None:
        """Loads a checkpoint of the same model and optimizer; it may come from another backend."""
        from .checkpoint import load_trainer

        with self.turns:
            load_trainer(self, path)

    def to(self, backend: str) -> None:
        """Moves the run to another backend and frees the memory on the old one.

        Raises
        ------
        BackendUnavailable
            That backend does not run here; nothing has moved.
        ConfigurationError
            It does not support the run's precision; nothing has moved.
        DeviceMemoryError
            The run does not fit there; nothing has moved.
        """
        target = backends.get(backend)
        check_precision(self.precision, self.model.dtype, target)
        with self.turns:
            if self._fitting:
                raise ConfigurationError("to: this trainer is being trained; move it when fit has ended")
            state, made_for, self._predictor = self._state, self._made_for, None
            before, self.backend, self.introduced = self.backend, target, False
            if state is not None:
                self._state, self._made_for = None, {}
                try:
                    self.state.unpack(state.pack(), state.step, state.cursor)
                except BaseException:
                    self.backend, self._state, self._made_for = before, state, made_for
                    raise
            del state
            before.release()

    def restart(self, seed: int) -> None:
        """Draws new weights from `seed` and resets the optimizer's states. The step count continues.

        So the optimizer's bias correction is not that of a first step.
        """
        with self.turns:
            for parameter in self.model.parameters():
                if parameter.trained:
                    parameter.array = parameter.owner = None
            self.model.ensure_initialized(seed)
            state = self.state
            for name in self.optimizer.states:
                state.slots[name][...] = self.optimizer.initial.get(name, 0)
            if self._fitting:
                self.early_stopping.best_epoch = self.epoch  # the best weights stay; patience begins anew
            else:
                self.goes_on = False

    def memory(self, data: Any, *, validation: Any = None, batch_size: int = 32) -> dict[str, int]:
        """Bytes that `fit` would need on the backend, by purpose; nothing is allocated."""
        held_out = None if validation is None else as_learned(as_dataset(validation), self.model, self.loss)
        self.model.ensure_initialized(self.seed)
        learned = as_learned(as_dataset(data), self.model, self.loss)
        demand = Demand.of(self.spec, self.backend, learned, held_out, EVALUATION_ROWS)
        stated = demand.bytes(batch_size)
        if self.backend.streams and sum(stated.values()) > self.backend.memory()[0]:
            return demand.bytes(batch_size, streamed=True)
        return stated

    def explain(self, data: Any = None, *, accumulate: int = 1) -> str:
        """One line that tells whether training runs as one compiled loop, and if not, what prevents it.

        Parameters
        ----------
        data : as for `fit`; by default, rows of the width that the model's first layer expects.
        accumulate : as for `fit`.

        Raises
        ------
        ShapeError
            There are no data, and the model does not define the width of its rows.
        """
        dataset = None if data is None else as_dataset(data)
        width = math.prod(input_shape_of(self.model) if dataset is None else dataset.x.shape[1:])
        self.model.parameters()  # gives names
        weighted = dataset is not None and dataset.weight is not None
        graph = training(self.spec, width, weighted=weighted).graph
        return explain(self.backend, graph, self.model, self.loss, self.optimizer, accumulate)

    def totals(self) -> dict[str, float]:
        """Means of the metrics over the epoch so far; reads from the device."""
        with self.turns:
            return means(self.backend.to_numpy(self.state.totals), self.loss, loss_unit(self.model, self.loss))

    def _outputs(self, x: Any) -> np.ndarray:
        data = matched(as_dataset(x), self.model.feature_names)
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

    def evaluator(
        self,
        data: Dataset,
        capacity: int = EVALUATION_ROWS,
        streamed: bool | None = None,
        program: Program | None = None,
    ) -> Evaluator:
        """Evaluates the current weights on a data set, again and again; its targets are as the model learns them.

        `streamed` says whether the data stay on the host; None finds out whether they fit. `program` is the lowered
        evaluation, where there is one already.
        """
        if streamed is None:
            streamed = exceeds(self.backend, data)
        unit = loss_unit(self.model, self.loss)
        with self.turns:
            rows = rows_of(self.backend, data, min(capacity, len(data)), streamed)
            return Evaluator(self.spec, self.state.arena, rows, capacity, unit=unit, program=program)

    def _restore_best(self) -> None:
        if self.early_stopping.patience is not None and self.early_stopping.weights:
            self.state.arena.unpack(self.state.arena.values, self.early_stopping.weights)

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
