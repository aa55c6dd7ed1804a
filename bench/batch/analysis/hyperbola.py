"""Steps and examples to a target: (S/S_min − 1)(E/E_min − 1) = 1 (McCandlish et al. 2018). Pure functions.

With E = b·S this is S = S_min (1 + B/b). B = E_min / S_min is the critical batch size, which the noise scale predicts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..records import Estimate
from .curve import DRAWS

GRID = np.exp(np.linspace(np.log(0.1), np.log(1e7), 400))  # critical batch sizes that are tried
OFF = 4.0  # the noise scale is off by less than this factor in two cases of three


@dataclass(frozen=True)
class Hyperbola:
    """Fitted to steps at some batch sizes.

    Attributes
    ----------
    steps, examples : S_min and E_min.
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


def fit(batches: np.ndarray, steps: np.ndarray, error: np.ndarray, expected: float | None = None) -> Hyperbola:
    """Fits a hyperbola by least squares of the logarithms.

    Parameters
    ----------
    batches, steps : (n,) rows of a step, and steps to the target.
    error : (n,) relative standard errors of the steps. If the error of the fit is larger, it is used instead.
    expected : a prior for the critical batch size, known to within the factor `OFF`. It matters if all batch sizes are
        far below or far above the critical one.
    """
    logs = np.log(steps)
    shapes = np.log1p(GRID[:, None] / batches)  # (candidates, n)
    free, level = _least_squares(logs[None], shapes, 0.0)
    residual = level[0] + np.log1p(free[0] / batches) - logs
    spare = max(1, len(batches) - 2)
    error = np.maximum(error, np.sqrt((residual**2).sum() / spare))
    random = np.random.default_rng(0)
    noisy = logs + error * random.standard_normal((DRAWS, len(logs)))
    # in units of OFF, how far each candidate is from what is expected: a penalty as of one more measurement
    apart = np.zeros_like(GRID) if expected is None else np.log(GRID / expected) / math.log(OFF)
    weight = (error**2).mean()
    critical, level = _least_squares(logs[None], shapes, weight * apart**2)
    residual = level[0] + np.log1p(critical[0] / batches) - logs
    drawn, _ = _least_squares(noisy, shapes, weight * (apart - random.standard_normal((DRAWS, 1))) ** 2)
    least, found = float(np.exp(level[0])), Estimate.of(critical[0], drawn)
    return Hyperbola(least, found.value * least, found, float(np.median(np.abs(np.expm1(residual)))))


def _least_squares(logs: np.ndarray, shapes: np.ndarray, penalty: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """(curves,) of B and of log S_min that fit each row of log steps best; `penalty` is of the candidates."""
    levels = logs.mean(axis=1)[:, None] - shapes.mean(axis=1)  # (curves, candidates)
    errors = ((logs[:, None, :] - shapes - levels[..., None]) ** 2).sum(axis=2)
    best = (errors + penalty).argmin(axis=1)
    return GRID[best], levels[np.arange(len(logs)), best]
