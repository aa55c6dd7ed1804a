"""Stops when a validation measure no longer improves, and keeps the best weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..measures import falls


@dataclass
class EarlyStopping:
    """Follows a measure from epoch to epoch.

    Parameters
    ----------
    patience : epochs without improvement after which training stops; None never stops.
    monitor : the measure. For ``"…loss"`` and ``"…error"`` lower is better, otherwise higher.
    min_delta : smaller changes are no improvements.
    """

    patience: int | None = None
    monitor: str = "validation_loss"
    best: float | None = None
    best_epoch: int = 0
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    min_delta: float = 0.0

    def improved(self, record: dict[str, float]) -> bool:
        """Adds an epoch's record; returns whether its measure is the best so far."""
        value = record[self.monitor]
        falling = falls(self.monitor)
        best = self.best if self.best is not None else math.inf if falling else -math.inf
        if not (value < best - self.min_delta if falling else value > best + self.min_delta):
            return False
        self.best, self.best_epoch = value, int(record["epoch"])
        return True

    def exhausted(self, epoch: int) -> bool:
        """Whether `patience` epochs have passed since the best one."""
        return self.patience is not None and epoch - self.best_epoch >= self.patience
