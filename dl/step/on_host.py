"""Plans of steps that the host computes: Newton's methods and random perturbation.

Forward and backward run as in any other step. The plan then overwrites the gradient with the step direction, which the
optimizer's operation multiplies by the learning rate and subtracts.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...backends import Backend
from ...backends.errors import ConfigurationError
from ...backends.philox import PERTURBATION, normal
from ...kernels.counters import FAILED, ROW, STEP
from ...kernels.dual import NoTangent
from ..graph.tangent import PHASE
from ..optimizers.base import Optimizer
from ..optimizers.newton import SecondOrder
from ..optimizers.random_perturbation import RandomPerturbation
from .arena import Arena, named
from .plan import TICK, Plan, quietly
from .program import Program
from .shared import together

HALVINGS = 20  # of a step of Newton's that would raise the loss
LARGE = 1000  # with fewer rows, a warning is given


class StepwisePlan(Plan):
    """Runs the training steps of an optimizer that computes each step on the host."""

    def __init__(
        self,
        optimizer: Optimizer,
        program: Program,
        backend: Backend,
        arena: Arena,
        shared: Mapping[str, Any],
        capacity: int,
        *,
        rows: int,
    ) -> None:
        self.optimizer, self._along = optimizer, arena.zeros()
        self._own = [parameter for parameter in arena.parameters if parameter.trained]
        self._changes, self._scores = program.changes, program.scores
        tangents = {f"tangent of {p.name}": arena.view(self._along, p) for p in self._own}
        super().__init__(program.graph, backend, arena, together({"the run": shared, "tangents": tangents}), capacity)
        if isinstance(optimizer, SecondOrder) and capacity < min(LARGE, rows):
            warnings.warn(
                f"{type(optimizer).__name__} inverts the Hessian of {capacity:,} rows, whose noise it multiplies: "
                f"second-order methods want batches of thousands of rows, or all {rows:,}",
                stacklevel=4,
            )

    @quietly
    def run(self, rows: int, steps: int) -> int:
        deadline, done = time.perf_counter() + TICK, 0
        while done < steps and (not done or time.perf_counter() < deadline):
            if isinstance(self.optimizer, RandomPerturbation):
                self._try(rows)
            else:
                self._newton(rows)
            done += 1
        return done

    def _newton(self, rows: int) -> None:
        assert isinstance(self.optimizer, SecondOrder)
        self.once(rows, "load", "forward", "metrics", "backward")
        if int(self._shared["counters"][FAILED]) < 0:
            before, g = self._loss(rows), self.arena.flat(self.arena.gradients, self._own)
            direction = self.optimizer.direction(g.astype(np.float64), lambda v: self._product(v, rows))
            self._write(self.arena.gradients, self._shortened(direction, rows, before))
        self.once(rows, "update")

    def _shortened(self, direction: np.ndarray, rows: int, before: float) -> np.ndarray:
        """The direction, halved as long as a step along it would raise the batch's loss."""
        weights, rate = self.arena.trained.copy(), self._rate
        for _ in range(HALVINGS):
            self._write(self._along, direction)
            self.arena.trained[...] = weights - rate * self._along
            self.once(rows, "load", "forward")
            if self._loss(rows) <= before:
                break
            direction = direction / 2
        self.arena.trained[...] = weights
        return direction

    @property
    def _rate(self) -> Any:
        return self._shared["learning rates"][int(self._shared["counters"][ROW])]

    def _product(self, vector: np.ndarray, rows: int) -> np.ndarray:
        self._write(self._along, vector)
        try:
            self.once(rows, PHASE)
        except NoTangent as error:
            name = type(self.optimizer).__name__
            raise ConfigurationError(f"{name} needs second derivatives: {error}") from None
        changes = self._changes
        parts = [
            self.backend.to_numpy(self.array(changes[p.name], rows)).ravel() if p.name in changes else np.zeros(p.size)
            for p in self._own
        ]
        return np.concatenate(parts).astype(np.float64)

    def _try(self, rows: int) -> None:
        """Keeps a perturbation if it lowers the batch's loss. The update (gradient 0) advances the counters."""
        self.once(rows, "load", "forward", "metrics")
        before, counters = self._loss(rows), self.backend.to_numpy(self._shared["counters"])
        weights = self.arena.trained.copy()
        size, key = sum(p.size for p in self._own), self.backend.to_numpy(self._shared["key"])
        noise = normal(key, size, PERTURBATION, 0, int(counters[STEP]))
        self._write(self._along, noise)
        self.arena.trained[...] += self._rate * self._along
        self.once(rows, "load", "forward")
        if not self._loss(rows) < before:
            self.arena.trained[...] = weights
        self.once(rows, "update")

    def _loss(self, rows: int) -> float:
        assert self._scores is not None
        return float(self.array(self._scores, rows)[:, 0].sum())

    def _write(self, buffer: Any, vector: np.ndarray) -> None:
        self.arena.unpack(buffer, named(vector, self._own))
