"""The trainer: what a user calls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

from ...backends.errors import ConfigurationError, DataError, ShapeError
from ...backends.launch import ranks
from ..data import Dataset, as_dataset
from ..data.batches import Batches, BatchRows
from ..data.names import matched
from ..data.rows import Order
from ..data.splitting import set_aside
from ..data.weights import with_class_weights
from ..layers.input_shape import input_shape_of
from ..losses.answers import as_learned
from ..step.explanation import explain, sources
from ..step.memory import Demand
from ..step.plan import underflowing
from ..step.program import training
from .answers import Answers
from .arguments import check_fit
from .callbacks import Callback, checked_callbacks
from .history import History
from .interrupts import in_notebook, interrupts, unswallowed
from .joining import joined
from .loop import Loop
from .metrics import Metrics
from .training import EVALUATION_ROWS


class Trainer(Answers):
    """Trains a model on one backend.

    You can change settings between and during calls of `fit`, for example ``trainer.optimizer.lr = 1e-4``. The next
    step uses them. Copies made with `copy` or `pickle` have their own model and continue with bit-identical results.
    Several threads may use one trainer, but only one of them may train it.

    Parameters
    ----------
    model : its weights are drawn from `seed` when they are first needed; existing weights are kept.
    loss : the loss to minimise.
    optimizer : its weight decay applies to weights, not to biases.
    schedule : multiplies the optimizer's learning rate at each step: a `Schedule`, or a function of the step number,
        from 0, that returns the factor; constant by default.
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
    ema : decay β of the exponential moving average of the weights, such as 0.999; None takes none. The average of the
        steps so far, Σ βⁿ⁻ᵏ pₖ / Σ βⁿ⁻ᵏ, is what the model has between epochs and after `fit`: it is validated, saved
        and predicts. Training goes on from the weights of the last step, which checkpoints keep, too.

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

    Examples
    --------
    >>> trainer = gs.Trainer(gs.Sequential(gs.Linear(64, 10)), gs.CrossEntropyLoss(), gs.Adam(lr=1e-3), seed=0)
    >>> history = trainer.fit(data.train, validation=data.validation, epochs=2, verbose=False)
    >>> labels = trainer.predict(data.test.x[:5])
    """

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
        min_delta: float = 0.0,
        metrics: Any = (),
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
            names, such as a data frame, the model stores them; later data frames are matched by name. Or `Batches`, a
            stream of them: then `batch_size` and `order` are the stream's.
        validation : likewise; evaluated after each epoch. Or a fraction of the rows, such as 0.2, which are set aside:
            at random by the trainer's seed, the same in each `fit`, in proportion to the classes; of memory-mapped
            data, the last rows.
        batch_size : rows per step, or all rows if there are fewer. The last batch of an epoch may be smaller.
        patience : stops after this many epochs without improvement, and restores the best weights. Each `fit` starts
            counting anew, unless the previous one was stopped or resumed from a checkpoint within it.
        monitor : the measure for `patience`: ``"validation_loss"``, ``"validation_accuracy"``, … Lower is better if
            its name ends in loss or error, otherwise higher.
        min_delta : smaller changes of it are no improvements.
        metrics : computed on the validation data after each epoch: names of scikit-learn's scorers, such as
            ``"f1_macro"``, functions ``(y, predictions)``, or a dictionary of them by name. The history has them as
            ``"validation_f1_macro"``, which may be the `monitor`.
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
        with self._being_trained():
            self._settle()
            check_fit(
                self.loss,
                self.optimizer,
                validation=validation,
                epochs=epochs,
                batch_size=batch_size,
                patience=patience,
                monitor=monitor,
                min_delta=min_delta,
                metrics=(further := Metrics(metrics)).names,
                loss_goal=loss_goal,
                order=order,
                accumulate=accumulate,
            )
            stream = data if isinstance(data, Batches) else None
            if stream is not None:
                if y is not None or class_weight is not None:
                    raise ConfigurationError(
                        "fit: y and class_weight are not for Batches, which hold targets and weights"
                    )
                data = stream.first()
                batch_size = len(data)
            given = as_dataset(data, y)  # labels are checked before they choose weights, else with the step's program
            if isinstance(validation, Real):
                if stream is not None:
                    raise ConfigurationError(
                        f"fit: validation is {validation}, and of Batches no part can be set aside; give a Dataset, or "
                        "(x, y)"
                    )
                given, validation = self._set_aside(given, validation)
            dataset = self._learned(given) if class_weight is None else self._checked(given)
            names, classes = dataset.feature_names, dataset.classes
            held_out = raw = None
            if validation is not None:
                try:
                    raw = self._matched(matched(as_dataset(validation), names, classes))
                    held_out = self._learned(raw)
                except (DataError, ShapeError) as error:
                    raise type(error)(f"validation: {error}") from None
            if class_weight is not None:
                names_of = self.model.classes or classes
                dataset = with_class_weights(dataset, class_weight, self._classes(dataset), names_of)
            callbacks = checked_callbacks(callbacks)
            shows = verbose and ranks().rank == 0
            if shows:
                from .progress import conclude, introduce, progress

                introduce(self)
                callbacks.append(progress())
            settings = {"batch_size": int(batch_size), "epochs": epochs, "accumulate": accumulate, "order": order}
            settings |= {"monitor": monitor, "patience": patience, "min_delta": min_delta, "loss_goal": loss_goal}
            with joined(self, dataset, held_out, settings) as together:
                if stream is not None and together is not None:
                    raise ConfigurationError(
                        f"Batches train in one process, and mpiexec started {together.size}; use arrays or a Dataset"
                    )
                with unswallowed(), self.turns:
                    rows = None if stream is None else BatchRows(self.backend, stream, self._checked)
                    given_data = dataset, held_out, int(batch_size)
                    loop = Loop(self, *given_data, loss_goal, order, int(accumulate), batches=rows, ranks=together)
                    if raw is not None and further.functions:
                        loop.measure = partial(further, self, raw)
                    self._begin(monitor, patience, int(epochs), min_delta)
                self.model.loss = self.loss
                self.model.feature_names = self.model.feature_names or names
                self.model.preparation = self.model.preparation or dataset.preparation
                self.model.signed_targets = self.loss.signed(dataset.y, self.model.signed_targets)
                if self.loss.targets != "values":
                    self.model.classes = self.model.classes or classes
                self._run(loop, callbacks)
        if shows:
            conclude(self)
        if self.stopped == "interrupt" and not in_notebook():
            raise KeyboardInterrupt
        return self.history

    def _set_aside(self, data: Dataset, fraction: Any) -> tuple[Dataset, Dataset]:
        return set_aside(data, fraction, self.seed, self.loss.targets != "values")

    def _run(self, loop: Loop, callbacks: list[Callback]) -> None:
        begun: list[Callback] = []
        try:
            for callback in callbacks:
                callback.on_train_begin(self)
                begun.append(callback)
            with interrupts(self.stop):
                loop.run(callbacks)
                self._stop = loop.stopped
        finally:
            self._end()
            with ExitStack() as ends:  # every callback, also if one raises
                for callback in reversed(begun):
                    ends.callback(callback.on_train_end, self, self.history)
        over, best = self.epoch >= self.epochs or self.stopped in ("patience", "loss"), self.early_stopping
        if over and best.patience is not None and best.weights:
            self.state.arena.unpack(self.state.arena.values, best.weights)

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

    def memory(self, data: Any, *, validation: Any = None, batch_size: int = 32) -> dict[str, int]:
        """Bytes that `fit` would need on the backend, by purpose; nothing is allocated."""
        given = as_dataset(data)
        if isinstance(validation, Real):
            given, validation = self._set_aside(given, validation)
        held_out = None if validation is None else as_learned(as_dataset(validation), self.model, self.loss)
        self.model.ensure_initialized(self.seed)
        learned = as_learned(given, self.model, self.loss)
        demand = Demand.of(self.spec, self.backend, learned, held_out, EVALUATION_ROWS)
        stated = demand.bytes(batch_size)
        if self.backend.streams and sum(stated.values()) > self.backend.memory()[0]:
            return demand.bytes(batch_size, streamed=True)
        return stated

    def explain(self, data: Any = None, *, accumulate: int = 1, kernels: bool = False) -> str:
        """One line that tells whether training runs as one compiled loop, and if not, what prevents it.

        Parameters
        ----------
        data : as for `fit`; by default, rows of the width that the model's first layer expects.
        accumulate : as for `fit`.
        kernels : whether to add the kernels made from formulas: CUDA on a GPU, Python for Numba elsewhere.

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
        said = explain(self.backend, graph, self.model, self.loss, self.optimizer, accumulate)
        return f"{said}\n\n{sources(self.backend, graph, self.optimizer, accumulate)}" if kernels else said
