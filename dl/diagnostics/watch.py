"""Callbacks that look at a training from epoch to epoch, on rows of their own, and add to its records."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from ...backends.errors import ConfigurationError
from ..callbacks import Callback
from ..hessian import Hessian
from ..objective import Objective

if TYPE_CHECKING:
    from ..trainer import Trainer

_log = logging.getLogger(__name__)
NORM = "gradient_norm"


class GradientNorms(Callback):
    """Records ‖g‖ of each parameter, as ``"gradient_norm 0.weight"``, and of all, ``"gradient_norm"``.

    Gradients that shrink or grow from layer to layer are vanishing or exploding.

    Parameters
    ----------
    x, y : the rows whose loss is differentiated, always the same.
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


class Curvature(Callback):
    """Records what a step of gradient descent gains to first order, ε gᵀg, and loses to curvature, ½ ε² gᵀHg.

    Where the second outgrows the first, ill-conditioning holds training up although the gradient is large
    (Goodfellow et al. 2016, section 8.2.1). Keys are ``"descent"`` and ``"curvature"``.

    Parameters
    ----------
    x, y : the rows whose loss is looked at, always the same.
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


class FlatStretch(Callback):
    """Notices that the loss has not fallen by a share of itself for some epochs; can start again from other weights.

    Parameters
    ----------
    epochs : how long the loss may stand still.
    share : a fall by less than this share of the loss is no fall.
    monitor : the measure watched; it should fall.
    restart : draw new weights there, at most `restarts` times; else a line is logged.

    Attributes
    ----------
    found : epochs at which a flat stretch was noticed.
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
        self.best, self.since = math.inf, 0

    def on_epoch_end(self, trainer: Trainer, record: dict[str, float]) -> None:
        if self.monitor not in record:
            raise ConfigurationError(f"FlatStretch: monitor is {self.monitor!r}; expected one of: {', '.join(record)}")
        value = record[self.monitor]
        if value < self.best * (1 - self.share):
            self.best, self.since = value, 0
            return
        self.since += 1
        if self.since < self.epochs:
            return
        self.found.append(int(record["epoch"]))
        self.best, self.since = (math.inf if self.restarts else value), 0
        _log.warning(
            "the %s has stood at %.4g for %d epochs%s",
            self.monitor,
            value,
            self.epochs,
            ": starting again from other weights" if self.restarts else "",
        )
        if self.restarts:
            self.restarts -= 1
            trainer.restart(trainer.seed + len(self.found))
