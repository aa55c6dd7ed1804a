"""Steps against examples to a target: (S/S_min − 1)(E/E_min − 1) = 1 (McCandlish et al. 2018). Pure functions.

With E = b·S that is S = S_min (1 + B/b), where B = E_min / S_min is the critical batch size, which the gradient noise
scale predicts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .curve import DRAWS, Z
from .records import Estimate

GRID = np.exp(np.linspace(np.log(0.1), np.log(1e7), 400))  # critical batch sizes that are tried


@dataclass(frozen=True)
class Hyperbola:
    """Fitted to steps at some batch sizes.

    Attributes
    ----------
    steps, examples : S_min and E_min, the least of each.
    critical : E_min / S_min, in rows.
    misfit : the median of |fit / measured − 1|.
    """

    steps: float
    examples: float
    critical: Estimate
    misfit: float

    def at(self, batch: float) -> float:
        """Steps at a batch size."""
        return self.steps * (1 + self.critical.value / batch)


def fit(batches: np.ndarray, steps: np.ndarray, error: np.ndarray) -> Hyperbola:
    """The hyperbola of least squared misfit of the logarithms.

    Parameters
    ----------
    batches, steps : (n,) rows of a step, and steps to the target.
    error : (n,) relative standard errors of the steps. Where the hyperbola misfits by more, that counts.
    """
    logs = np.log(steps)
    shapes = np.log1p(GRID[:, None] / batches)  # (candidates, n)
    critical, level = _least_squares(logs[None], shapes)
    residual = level[0] + np.log1p(critical[0] / batches) - logs
    spare = max(1, len(batches) - 2)
    error = np.maximum(error, np.sqrt((residual**2).sum() / spare))
    random = np.random.default_rng(0)
    drawn, _ = _least_squares(logs + error * random.standard_normal((DRAWS, len(logs))), shapes)
    low, high = np.percentile(drawn, Z)
    least, value = float(np.exp(level[0])), float(critical[0])
    estimate = Estimate(value=value, low=float(low), high=float(high))
    return Hyperbola(least, value * least, estimate, float(np.median(np.abs(np.expm1(residual)))))


def _least_squares(logs: np.ndarray, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(curves,) of B and of log S_min that fit each row of log steps best."""
    levels = logs.mean(axis=1)[:, None] - shapes.mean(axis=1)  # (curves, candidates)
    errors = ((logs[:, None, :] - shapes - levels[..., None]) ** 2).sum(axis=2)
    best = errors.argmin(axis=1)
    return GRID[best], levels[np.arange(len(logs)), best]
