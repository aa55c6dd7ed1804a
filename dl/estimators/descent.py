"""Epochs by scikit-learn's rules: its row order, its penalty, its learning rates, its two stochastic solvers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends import Backend
from ..data import Dataset
from ..data.resident import Resident
from ..layers import Sequential
from ..losses.losses import Loss
from ..optimizers.adam import Adam
from ..optimizers.base import Optimizer
from ..optimizers.sgd import SGD
from ..step.plan import quietly
from ..step.spec import StepSpec
from ..step.state import TrainingState
from ..step.stepper import Stepper

STRIDE, LOOKS = 8, 16  # the penalty is computed every so many steps, or so often per epoch; interpolated between


class TrainingInterrupted(UserWarning):
    """Ctrl-C ended a fit early; the estimator keeps its current weights."""


@dataclass(frozen=True)
class PenalizedLoss:
    """The objective: a loss in scikit-learn's scale plus the penalty alpha / 2 · Σ weights² / rows.

    Parameters
    ----------
    loss : of the library.
    gradient : factor from the library's gradient to scikit-learn's.
    report : factor from the library's loss to scikit-learn's.
    alpha : strength of the penalty.
    """

    loss: Loss
    gradient: float
    report: float
    alpha: float


class Descent:
    """Runs epochs on resident data; `pack` returns everything that a later run needs.

    Parameters
    ----------
    model : its weights change with each epoch.
    data : x (rows, features) and targets.
    weights : of the rows, (rows,), or None: the gradient of a batch is a weighted mean.
    batch_size : rows per step, at most those of `data`.
    seed : of dropout.
    """

    def __init__(
        self,
        model: Sequential,
        objective: PenalizedLoss,
        optimizer: Optimizer,
        backend: Backend,
        data: Dataset,
        weights: np.ndarray | None,
        batch_size: int,
        seed: int,
    ) -> None:
        self.objective, self.backend = objective, backend
        spec = StepSpec(model, objective.loss, optimizer, seed=seed)
        self.state = state = TrainingState(spec, backend)
        state.arena.attach()
        self.data = Resident(backend, data)
        if weights is not None:
            self.data.weight = backend.asarray(weights.reshape(-1, 1), dtype=state.arena.dtype)
        self._row_weights = weights
        self.stepper = Stepper(spec, state, self.data, batch_size)
        start, stop, *_ = state.arena.ranges[0]
        self._weights = state.arena.values[start:stop]
        self.rate, self.stopped = 1.0, False
        self._set: tuple[float, ...] = ()

    @quietly
    def epoch(self, order: np.ndarray) -> float:
        """Runs one epoch in this row order; returns the mean of the batches' objectives."""
        state, rows = self.state, self.data.rows
        self.data.places[...] = self.backend.asarray(order)
        state.begin_epoch()
        stride = max(STRIDE, rows // self.stepper.batch_size // LOOKS) if self._row_weights is None else 1
        value, losses, square = 0.0, 0.0, self._square()
        while state.cursor < rows and not self.stopped:
            size = self.stepper.size
            weight = self._weight(order[state.cursor : state.cursor + size])
            scale = size / weight if weight else 0.0
            self._scale(self.rate, self.objective.alpha * scale / size, self.objective.gradient * scale)
            steps = self.stepper.run(stride)
            before, square = square, self._square()
            known, losses = losses, float(state.totals[1])
            penalty = steps * before + (steps - 1) / 2 * (square - before)
            value += scale * (self.objective.report * (losses - known) + self.objective.alpha / 2 * penalty)
        return value / rows

    def stop(self, reason: str) -> None:
        """Ends the epoch at the next batch boundary."""
        self.stopped = True

    def failed(self) -> bool:
        """Whether a loss was not finite; no update was made after it."""
        return self.state.failed_step() >= 0

    def slow(self, factor: float) -> None:
        """Multiplies the learning rate; the velocity is rescaled, so that rate · velocity does not change."""
        self.rate *= factor
        if "velocity" in self.state.slots:
            self.state.slots["velocity"][...] /= factor

    def pack(self) -> dict[str, np.ndarray]:
        """The optimizer's states, by name, on the host."""
        return {name: value for name, value in self.state.pack().items() if name.startswith("optimizer.")}

    def unpack(self, tensors: dict[str, np.ndarray], step: int, rate: float) -> None:
        """Restores the result of `pack`; the model keeps its weights."""
        mine = {name: value for name, value in self.state.pack().items() if name not in tensors}
        self.state.unpack({**mine, **tensors}, step, 0)
        self.rate = rate

    def _weight(self, rows: np.ndarray) -> float:
        """The sum of the weights of some rows; without weights, their number."""
        return float(len(rows) if self._row_weights is None else self._row_weights[rows].sum())

    def _square(self) -> float:
        """The sum of the squared weights; 0 if there is no penalty. Reads from the device."""
        if not self.objective.alpha:
            return 0.0
        return float((self._weights * self._weights).sum())

    def _scale(self, rate: float, decay: float, gradient: float) -> None:
        """Sets the values that optimizers read at each step: learning rates, decays and the gradient's factor."""
        if self._set != (rate, decay, gradient):
            factors: Any = [(rate, decay * part.decayed) for part in self.state.arena.ranges]
            self.state.shared["factors"][...] = self.backend.asarray(np.array(factors, self.state.arena.dtype))
            self.state.shared["clip"][...] = gradient
            self._set = rate, decay, gradient


class UncorrectedEpsilonAdam(Adam, named=False):
    """Adam with ε beside the root of the uncorrected second moment (Kingma and Ba 2014, end of section 2)."""

    def constants(self, step: int, lr: float) -> tuple[float, ...]:
        *others, eps = super().constants(step, lr)
        return *others, eps * others[2]


def solver(estimator: Any) -> Optimizer:
    """The optimizer of an estimator with solver ``"adam"`` or ``"sgd"``; Nesterov's variant needs momentum."""
    rate, momentum = float(estimator.learning_rate_init), float(estimator.momentum)
    if estimator.solver == "adam":
        betas = float(estimator.beta_1), float(estimator.beta_2)
        return UncorrectedEpsilonAdam(rate, betas, float(estimator.epsilon))
    return SGD(rate, momentum, nesterov=bool(estimator.nesterovs_momentum) and momentum > 0)
