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
"""What the arrays of a run are made for, and what to do instead of assigning another one."""


class Trainer:
    """Trains a model on one backend.

    Settings may be changed between and during calls of `fit`, as ``trainer.optimizer.lr = 1e-4``: the next step uses
    them. Copies, by `copy` or `pickle`, have a model of their own and train on to the same bits. Several threads may
    use one trainer; one of them may train it.

    Parameters
    ----------
    model : its weights are drawn from `seed` at first need; weights that exist stay.
    loss : what is minimised.
    optimizer : its weight decay applies to weights, not to biases.
    schedule : multiplies the optimizer's rate at each step; by default constant.
    clip_norm : the gradient is shortened to this norm where it is longer; None leaves it.
    clip_value : each element of the gradient is clipped to ±clip_value, before `clip_norm`; None leaves it.
    precision : ``"float32"`` and ``"float64"`` for all numbers; None takes the model's dtype. On a GPU also
        ``"tf32"``: float32 whose products may round their factors to ten bits behind the point;
        ``"bfloat16"``: activations and factors in bfloat16, parameters, optimizer states and sums in float32;
        ``"float16"``: likewise in float16, with dynamic loss scaling.
    backend : ``"auto"``, or a name of `gearshift.backends.available`.
    seed : 0 to 2⁶⁴ − 1: the key of weights, shuffling and dropout.
    groups : parameters with a learning rate or a decay of their own.
    regularizer : `L1` or `SoftThreshold`, on weights, not on biases; the loss that is reported is without it.

    Raises
    ------
    ConfigurationError
        An argument has the wrong type or is out of its range, or the backend lacks the precision.
    BackendUnavailable
        A backend asked for by name cannot run here.

    Attributes
    ----------
    epoch, step : finished epochs and steps.
    epochs : finished epochs at which the present `fit` ends.
    samples : rows of the training data.
    history : a record of each finished epoch.
    introduced : whether progress has said which backend trains.
    goes_on : whether the next `fit` goes on watching, for `patience`, where the one before was stopped.
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
        """The run's arrays; made at first need, and brought up to date with weights set from outside."""
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
        """Why training ends early: ``"patience"``, ``"loss"``, ``"interrupt"``, what `stop` was given, or ""."""
        return self._stop or self._stopped

    @property
    def stopping(self) -> bool:
        """Whether a stop has been asked for that no `fit` has heeded yet."""
        return bool(self._stop)

    def stop(self, reason: str = "stop") -> None:
        """Ends training at the next batch boundary, where everything can be saved and resumed.

        Outside `fit`, the next one ends before its first batch.
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
        """Trains `epochs` epochs more; an epoch that was interrupted is finished as the first of them.

        Parameters
        ----------
        data, y : a `Dataset`, arrays x and y, or a tuple (x, y) or (x, y, weight): a row counts by its weight. The
            model takes up the names of columns that x has, as a data frame; later frames are matched by name.
        validation : likewise, measured after each epoch.
        batch_size : rows a step, all at once where there are fewer; the last batch of an epoch may be shorter.
        patience : stops after this many epochs without improvement, and restores the best weights. Each `fit` watches
            anew, but where the one before was stopped, or is in a checkpoint from its middle: then it goes on.
        monitor : the measure that patience watches: ``"validation_loss"``, ``"validation_accuracy"``, …
        loss_goal : stops after the first epoch whose training loss is at most this.
        order : how minibatches are drawn: ``"shuffled"``, each epoch anew without replacement; ``"once"``, in the first
            epoch's order; ``"replacement"``, each row any of all.
        accumulate : parts in which each minibatch is taken, whose gradients are added up: less memory, the same step.
        class_weight : ``"balanced"``, a weight for each class in their order, or a mapping of classes to weights,
            where others have 1: by the model's `classes` where it has such names, else by labels. The rows' weights
            are multiplied with it in training; validation is by the weights of its own rows, if it has any.
        callbacks : see `Callback`.
        verbose : shows progress on standard error.

        Returns
        -------
        History
            Records of all epochs so far. In a notebook also after an interrupt; elsewhere Ctrl-C raises
            KeyboardInterrupt at the next batch boundary, where the trainer can be saved.

        Raises
        ------
        NonFiniteLoss
            The loss turned NaN or infinite; the weights are those before the step.
        ConfigurationError
            A number is below its least, `monitor` is not measured, a setting that was changed by hand is refused, or
            another call of `fit` is still training.
        ShapeError, DataError
            Rows or targets do not fit the model and the loss.
        DeviceMemoryError
            The run does not fit the device's memory; nothing was taken.
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
            self.model.signed_targets = self.loss.signed(dataset.y, self.model.signed_targets)
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
                self._begin(monitor, patience, int(epochs))
                loop = Loop(self, dataset, held_out, int(batch_size), loss_goal, order, int(accumulate))
            self.model.feature_names = self.model.feature_names or names
            if self.loss.targets != "values":
                self.model.classes = self.model.classes or classes
            self._run(loop, callbacks)
        finally:
            self._fitting = False
        if self.stopped == "interrupt" and not in_notebook():
            raise KeyboardInterrupt
        return self.history

    def _settle(self) -> None:
        """Takes up what was changed by hand since the last `fit`; before the first step, everything may change."""
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
        """Makes the trainer ready for a `fit`, which watches anew unless it goes on with one that was stopped."""
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
            with ExitStack() as ends:  # each of them, also where one raises
                for callback in reversed(begun):
                    ends.callback(callback.on_train_end, self, self.history)
        if self.epoch >= self.epochs or self.stopped in ("patience", "loss"):
            self._restore_best()

    @underflowing
    def evaluate(self, data: Any, y: Any = None, *, report: bool = False) -> dict[str, float]:
        """The mean loss over a data set, by the rows' weights if it has any, and the accuracy where the loss has one.

        Of `MSELoss` also R², ``"r2"``, of two rows and more: the mean over the outputs, as scikit-learn's `r2_score`.
        With a `target_scaling` of one column, ``"loss"`` is in the target's squared units, here as in the history; of
        several columns it is in units of their squared scales, and ``"mse"`` is the mean squared error. With `report`,
        precision and recall too: of the second of two classes, else their means over the classes.

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
        """The least loss on a data set of one answer for all rows, as of the mean or of the classes' frequencies.

        A model whose loss is no lower has learned nothing of x. None where the loss has no such rule.
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
        """The model's answers for x (rows, features): labels int64 (rows,) for a classifier, else outputs.

        They are in the target's units, as float64, where the model has a `target_scaling`; those of a `HingeLoss` are
        −1 and +1 where it was trained on these. Those of a `JointLoss` are a dictionary by heads.

        Raises
        ------
        DataError
            The outputs for a row are NaN or infinite, as those of very large numbers are.
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
        """What a layer inside the model makes of rows x that it would be given there, as a code of its encoder."""
        data, names = as_dataset(x), self.model.feature_names
        if names is not None and {*names} & {*(data.feature_names or ())}:  # else these are not the model's columns
            data = matched(data, names)
        with self.turns:
            self.model.parameters()  # gives names, by which the arena knows the layer's
            predictor = Predictor(layer, self.backend, self.state.arena, flat(data.x).shape[1], self.precision)
            check_categories(predictor.program.graph, predictor.program.x, data)
            return self._finite(predictor(data.x), data.x)

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint from which training goes on to the same bits; `gearshift.load` reads its model."""
        from .checkpoint import save_trainer

        with self.turns:
            save_trainer(self, path)

    def load(self, path: str | Path) -> None:
        """Takes over a checkpoint of the same model and optimizer, also from another backend."""
        from .checkpoint import load_trainer

        with self.turns:
            load_trainer(self, path)

    def to(self, backend: str) -> None:
        """Moves the run to another backend, where it goes on; memory on the one before is given back.

        Raises
        ------
        BackendUnavailable
            That backend does not run here; nothing has moved.
        ConfigurationError
            It has no products of the run's precision; nothing has moved.
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
        """Draws the trained weights anew from `seed` and sets the optimizer's states back; steps go on being counted.

        The states are those of a first step, but not its bias correction.
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
        """Bytes that `fit` would take on the backend, by what they are for; nothing is allocated there."""
        held_out = None if validation is None else as_learned(as_dataset(validation), self.model, self.loss)
        self.model.ensure_initialized(self.seed)
        learned = as_learned(as_dataset(data), self.model, self.loss)
        demand = Demand.of(self.spec, self.backend, learned, held_out, EVALUATION_ROWS)
        stated = demand.bytes(batch_size)
        if self.backend.streams and sum(stated.values()) > self.backend.memory()[0]:
            return demand.bytes(batch_size, streamed=True)
        return stated

    def explain(self, data: Any = None, *, accumulate: int = 1) -> str:
        """How training runs, in a line: as one compiled loop, or operation by operation and what prevents the loop.

        Parameters
        ----------
        data : what `fit` would be given; by default rows as wide as the model's first layer expects.
        accumulate : as for `fit`.

        Raises
        ------
        ShapeError
            There are no data, and the model does not say how wide its rows are.
        """
        dataset = None if data is None else as_dataset(data)
        width = math.prod(input_shape_of(self.model) if dataset is None else dataset.x.shape[1:])
        self.model.parameters()  # gives names
        weighted = dataset is not None and dataset.weight is not None
        graph = training(self.spec, width, weighted=weighted).graph
        return explain(self.backend, graph, self.model, self.loss, self.optimizer, accumulate)

    def totals(self) -> dict[str, float]:
        """Means of the metrics over the epoch so far. A look at the device."""
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
