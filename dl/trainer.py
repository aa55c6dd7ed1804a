"""Training, evaluation and prediction: what a user calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import backends
from ..backends import Backend
from ..backends.errors import ConfigurationError
from .answers import as_learned, check_finite, loss_unit
from .arguments import check_fit, check_trainer
from .callbacks import Callback
from .data import Dataset, as_dataset
from .data.weights import with_class_weights
from .early_stopping import EarlyStopping
from .graph import Graph, Value
from .groups import ParameterGroup
from .history import History
from .interrupts import in_notebook, interrupts, unswallowed
from .layers.base import Layer
from .loop import EVALUATION_ROWS, Loop
from .losses import Loss
from .memory import exceeds, statement
from .optimizers import Optimizer
from .precision import PRECISIONS, check_precision
from .regularizers import Regularizer
from .report import Report
from .report import report as make_report
from .resident import Evaluator, Order, Predictor, check_categories, flat, means
from .schedules import Schedule
from .state import TrainingState
from .streamed import rows_of


class Trainer:
    """Trains a model on one backend.

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
        self._stop = self._stopped = ""
        self._state: TrainingState | None = None
        self._predictor: Predictor | None = None

    @property
    def state(self) -> TrainingState:
        """The run's arrays; made at first need, and brought up to date with weights set from outside."""
        if PRECISIONS[self.precision] != self.model.dtype:  # `astype` was called meanwhile
            check_precision(self.precision, self.model.dtype, self.backend)
        if self._state is None:
            self._state = TrainingState(
                self.model,
                self.optimizer,
                self.schedule,
                self.backend,
                self.seed,
                len(self.loss.metrics),
                self.groups,
                self.precision,
            )
        self._state.arena.attach()
        self._state.arena.refresh()
        return self._state

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
        data, y : a `Dataset`, arrays x and y, or a tuple (x, y) or (x, y, weight): a row counts by its weight.
        validation : likewise, measured after each epoch.
        batch_size : rows a step, all at once where there are fewer; the last batch of an epoch may be shorter.
        patience : stops after this many epochs without improvement, and restores the best weights.
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
            A number is below its least, or `monitor` is not measured.
        ShapeError, DataError
            Rows or targets do not fit the model and the loss.
        DeviceMemoryError
            The run does not fit the device's memory; nothing was taken.
        """
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
        dataset = self._checked(as_dataset(data, y))
        if class_weight is not None:
            dataset = with_class_weights(dataset, class_weight, self._classes(dataset), self.model.classes)
        self.model.signed_targets = self.loss.signed(dataset.y, self.model.signed_targets)
        held_out = None if validation is None else self._checked(as_dataset(validation))
        if monitor != self.early_stopping.monitor:
            self.early_stopping = EarlyStopping(monitor=monitor)
        self.early_stopping.patience = patience
        callbacks = [*callbacks]
        if verbose:
            from .progress import progress

            callbacks.append(progress())
        self._stopped = ""  # a stop asked for since the last `fit` holds
        self.epochs = self.epoch + int(epochs)
        with unswallowed():
            loop = Loop(self, dataset, held_out, int(batch_size), loss_goal, order, int(accumulate))
        begun: list[Callback] = []
        try:
            for callback in callbacks:
                callback.on_train_begin(self)
                begun.append(callback)
            with interrupts(self.stop):
                loop.run(callbacks)
        finally:
            self._stopped, self._stop = self._stop, ""
            for callback in begun:
                callback.on_train_end(self, self.history)
        if self.epoch >= self.epochs or self.stopped in ("patience", "loss"):
            self._restore_best()
        if self.stopped == "interrupt" and not in_notebook():
            raise KeyboardInterrupt
        return self.history

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
        given = as_dataset(data, y)
        dataset = self._checked(given)
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

    def report(self, data: Any, y: Any = None) -> Report:
        """Precision and recall of each class on a data set."""
        dataset = as_dataset(data, y)
        self._checked(dataset)
        return make_report(self.loss, dataset, self.predict(dataset), self.model.classes)

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

    def predict_proba(self, x: Any) -> Any:
        """The probability of each class for x (rows, features): (rows, classes).

        Raises
        ------
        DataError
            The outputs for a row are NaN or infinite.
        """
        return self.loss.probabilities(self._outputs(x))

    def outputs_of(self, layer: Layer, x: Any) -> np.ndarray:
        """What a layer inside the model makes of rows x that it would be given there, as a code of its encoder."""
        data = as_dataset(x)
        self.model.parameters()  # gives names, by which the arena knows the layer's
        predictor = Predictor(layer, self.backend, self.state.arena, flat(data.x).shape[1], self.precision)
        check_categories(predictor.program.graph, predictor.program.x, data)
        outputs = predictor(data.x)
        if not np.isfinite(outputs).all():
            check_finite(outputs, data.x, self.model.state_dict())
        return outputs

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint from which training goes on to the same bits; `gearshift.load` reads its model."""
        from .checkpoint import save_trainer

        save_trainer(self, path)

    def load(self, path: str | Path) -> None:
        """Takes over a checkpoint of the same model and optimizer, also from another backend."""
        from .checkpoint import load_trainer

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
        state, self._predictor = self._state, None
        before, self.backend = self.backend, target
        if state is not None:
            self._state = None
            try:
                self.state.unpack(state.pack(), state.step, state.cursor)
            except BaseException:
                self.backend, self._state = before, state
                raise
        del state
        before.release()

    def restart(self, seed: int) -> None:
        """Draws the trained weights anew from `seed` and sets the optimizer's states back; steps go on being counted.

        The states are those of a first step, but not its bias correction.
        """
        for parameter in self.model.parameters():
            if parameter.trained:
                parameter.array = parameter.owner = None
        self.model.ensure_initialized(seed)
        state = self.state
        for name in self.optimizer.states:
            state.slots[name][...] = self.optimizer.initial.get(name, 0)

    def memory(self, data: Any, *, validation: Any = None, batch_size: int = 32) -> dict[str, int]:
        """Bytes that `fit` would take on the backend, by what they are for; nothing is allocated there."""
        held_out = None if validation is None else as_learned(as_dataset(validation), self.model, self.loss)
        self.model.ensure_initialized(self.seed)
        arguments = self, as_learned(as_dataset(data), self.model, self.loss), held_out, batch_size, EVALUATION_ROWS
        stated = statement(*arguments)
        if self.backend.streams and sum(stated.values()) > self.backend.memory()[0]:
            return statement(*arguments, streamed=True)
        return stated

    def totals(self) -> dict[str, float]:
        """Means of the metrics over the epoch so far. A look at the device."""
        return means(self.backend.to_numpy(self.state.totals), self.loss, loss_unit(self.model, self.loss))

    def _outputs(self, x: Any) -> np.ndarray:
        data = as_dataset(x)
        rows, width = data.x, flat(data.x).shape[1]
        arena = self.state.arena
        if self._predictor is None or self._predictor.width != width or self._predictor.plan.arena is not arena:
            self._predictor = Predictor(self.model, self.backend, arena, width, self.precision)
        check_categories(self._predictor.program.graph, self._predictor.program.x, data)
        outputs = self._predictor(rows)
        if not np.isfinite(outputs).all():
            check_finite(outputs, rows, self.model.state_dict())
        return outputs

    def evaluator(self, data: Dataset, capacity: int = EVALUATION_ROWS, streamed: bool | None = None) -> Evaluator:
        """Evaluates the current weights on a data set, again and again; its targets are as the model learns them.

        `streamed` says whether the data stay on the host; None finds out whether they fit.
        """
        if streamed is None:
            streamed = exceeds(self.backend, data)
        rows = rows_of(self.backend, data, min(capacity, len(data)), streamed)
        unit = loss_unit(self.model, self.loss)
        return Evaluator(self.model, self.loss, self.state.arena, rows, capacity, self.precision, unit)

    def _restore_best(self) -> None:
        if self.early_stopping.patience is not None and self.early_stopping.weights:
            self.state.arena.unpack(self.state.arena.values, self.early_stopping.weights)

    def _checked(self, data: Dataset) -> Dataset:
        """The data set with targets as the model learns them."""
        data = as_learned(data, self.model, self.loss)
        graph, x, output = self._lowered(data)
        self.loss.check(data, output.example_shape)
        check_categories(graph, x, data)
        return data

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
