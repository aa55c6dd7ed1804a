"""Callbacks that examine the training after each epoch, on given rows, and add values to its records."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from ...backends.errors import ConfigurationError
from ..training.callbacks import Callback
from .hessian import Hessian
from .objective import Objective

if TYPE_CHECKING:
    from ..training.history import History
    from ..training.trainer import Trainer

_log = logging.getLogger(__name__)
NORM = "gradient_norm"
FLAT = "flat_epochs"


class GradientNorms(Callback):
    """Records ‖g‖ of each parameter, as ``"gradient_norm 0.weight"``, and of all, ``"gradient_norm"``.

    Gradients that shrink from layer to layer are vanishing; those that grow are exploding.

    Parameters
    ----------
    x, y : the rows used for the gradient, the same in every epoch.

    Examples
    --------
    >>> history = trainer.fit(x, y, callbacks=[gs.GradientNorms(x, y)], verbose=False)
    >>> norm = history[-1]["gradient_norm"]
    """

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def on_train_begin(self, trainer: Trainer) -> None:
        self.objective = Objective(
            trainer.model, trainer.loss, self.x, self.y, seed=trainer.seed, arena=trainer.state.arena
        )

    def on_epoch_end(self, trainer: Trainer, record: dict[str, float]) -> None:
        self.objective.evaluate()
        arena, total = self.objective.arena, 0.0
        for parameter in self.objective.trained:
            gradient = arena.view(arena.gradients, parameter)
            square = float((gradient * gradient).sum())
            record[f"{NORM} {parameter.name}"] = math.sqrt(square)
            total += square
        record[NORM] = math.sqrt(total)

    def on_train_end(self, trainer: Trainer, history: History) -> None:
        del self.objective  # with its memory


class Curvature(Callback):
    """Records the first-order decrease ε gᵀg and the second-order increase ½ ε² gᵀHg of the loss in a step.

    If the second is larger than the first, ill-conditioning slows training although the gradient is large
    (Goodfellow et al. 2016, section 8.2.1). Keys are ``"descent"`` and ``"curvature"``.

    Parameters
    ----------
    x, y : the rows used for the loss, the same in every epoch.

    Examples
    --------
    >>> history = trainer.fit(x, y, callbacks=[gs.Curvature(x[:100], y[:100])], verbose=False)
    >>> descent, curvature = (history[-1][name] for name in ("descent", "curvature"))
    """

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def on_train_begin(self, trainer: Trainer) -> None:
        self.hessian = Hessian(
            trainer.model, trainer.loss, self.x, self.y, seed=trainer.seed, arena=trainer.state.arena
        )

    def on_epoch_end(self, trainer: Trainer, record: dict[str, float]) -> None:
        hessian, rate = self.hessian, record["lr"]
        hessian.refresh()
        gradient = hessian.arena.gradients
        hessian.direction[...] = gradient
        product = hessian.apply()
        record["descent"] = rate * float((gradient * gradient).sum())
        record["curvature"] = rate**2 * float((gradient * product).sum()) / 2

    def on_train_end(self, trainer: Trainer, history: History) -> None:
        del self.hessian  # with its memory


class FlatStretch(Callback):
    """Detects that the loss has not fallen for some epochs; can start again from new weights.

    Records ``"flat_epochs"``, the number of epochs without progress. A resumed training continues from these records.

    Parameters
    ----------
    epochs : number of epochs without progress that count as a flat stretch.
    share : the loss must fall by at least this fraction to count as progress.
    monitor : the measure to watch; lower is better.
    restart : draw new weights before the next epoch, at most `restarts` times; otherwise only log a message.

    Attributes
    ----------
    found : epochs at which a flat stretch was detected.

    Raises
    ------
    ConfigurationError
        `epochs` or `share` is out of range; in training, `monitor` is not measured.

    Examples
    --------
    >>> history = trainer.fit(x, y, callbacks=[gs.FlatStretch(epochs=5)], verbose=False)
    """

    def __init__(
        self,
        epochs: int = 5,
        share: float = 1e-3,
        monitor: str = "loss",
        restart: bool = False,
        restarts: int = 3,
    ) -> None:
        if epochs < 1 or not share >= 0:
            raise ConfigurationError(
                f"FlatStretch: epochs is {epochs} and share is {share}; expected at least 1 and at least 0"
            )
        self.epochs, self.share, self.monitor = epochs, share, monitor
        self.restarts = restarts if restart else 0
        self.found: list[int] = []

    def on_train_begin(self, trainer: Trainer) -> None:
        self.best, self.since, self.found, self._due = math.inf, 0, [], False
        for record in trainer.history:
            if FLAT in record and self.monitor in record:
                self._look(record)

    def on_epoch_begin(self, trainer: Trainer) -> None:
        # not at the end of the epoch: what others save there are the weights that its record tells of
        if self._due and not trainer.state.cursor:
            trainer.restart(trainer.seed + len(self.found))
        self._due = False

    def on_epoch_end(self, trainer: Trainer, record: dict[str, float]) -> None:
        """Checks the record for progress.

        Raises
        ------
        ConfigurationError
            `monitor` is not in it.
        """
        if self.monitor not in record:
            raise ConfigurationError(f"FlatStretch: monitor is {self.monitor!r}; expected one of: {', '.join(record)}")
        record[FLAT] = self._look(record)
        if record[FLAT] >= self.epochs:
            _log.warning(
                "the %s has stood at %.4g for %d epochs%s",
                self.monitor,
                record[self.monitor],
                self.epochs,
                ": starting again from other weights" if self._due else "",
            )

    def _look(self, record: dict[str, float]) -> int:
        """Adds a record; returns the number of epochs without progress."""
        value = record[self.monitor]
        fallen = value < self.best * (1 - self.share)
        flat = 0 if fallen else self.since + 1
        self._due = False
        if fallen:
            self.best = value
        if flat >= self.epochs:
            self.found.append(int(record["epoch"]))
            self._due = len(self.found) <= self.restarts
            self.best = math.inf if self._due else value
        self.since = 0 if flat >= self.epochs else flat
        return flat
