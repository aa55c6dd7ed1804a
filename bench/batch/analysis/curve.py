"""Analysis of step times: the linear fit, the half-peak batch, and crossings of two curves.

Pure functions of batch sizes and of the rounds' seconds. The 95 % intervals come from curves sampled from the measured
medians and their errors; the samples are the same in every call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..records import Estimate

DRAWS = 400
FITS = 0.10  # maximum median error of a usable linear fit


@dataclass(frozen=True)
class Curve:
    """Seconds per step as a function of the batch size.

    Attributes
    ----------
    batches : (n,) ascending.
    seconds : (n,) medians of the rounds.
    error : (n,) relative standard error of each median.
    """

    batches: np.ndarray
    seconds: np.ndarray
    error: np.ndarray

    def at(self, batch: Any) -> np.ndarray:
        """Seconds at any batch size between the measured ones, by log-log interpolation."""
        return np.exp(np.interp(np.log(batch), np.log(self.batches), np.log(self.seconds)))

    def draws(self, seed: int) -> np.ndarray:
        """(DRAWS, n) sampled curves."""
        random = np.random.default_rng(seed)
        return self.seconds * np.exp(self.error * random.standard_normal((DRAWS, len(self.seconds))))


@dataclass(frozen=True)
class TimeLine:
    """t(b) = t0 + b·ts.

    Attributes
    ----------
    t0, ts : seconds per step, and seconds per row.
    misfit : the median of |line / measured − 1|.
    draws : (DRAWS, 2) linear fits of the sampled curves.
    """

    t0: float
    ts: float
    misfit: float
    draws: np.ndarray

    @property
    def fits(self) -> bool:
        """Whether the fit is usable."""
        return self.misfit <= FITS

    def grows(self, largest: float) -> bool:
        """Whether it is usable, and the largest batch size has less than half of its peak throughput."""
        return self.fits and bool(self.t0 > largest * self.ts)


def curve(batches: Sequence[int], rounds: Sequence[Sequence[float]]) -> Curve:
    """The curve of some rounds at each batch size.

    The scatter is pooled over the batch sizes, because a few rounds alone are unreliable.
    """
    logs = [np.log(np.asarray(values, dtype=float)) for values in rounds]
    medians = np.array([np.median(values) for values in logs])
    counts = np.array([len(values) for values in logs])
    spare = int((counts - 1).sum())
    squares = sum(((values - values.mean()) ** 2).sum() for values in logs)
    robust = [1.4826 * np.median(np.abs(values - np.median(values))) for values in logs if len(values) > 2]
    pooled = np.sqrt(squares / spare) if spare else 0.0
    spread = min(pooled, 2 * np.median(robust)) if robust else pooled  # one stray round does not widen everything
    error = np.sqrt(np.pi / 2) * spread / np.sqrt(counts)  # the standard error of a median
    return Curve(np.array(batches, dtype=float), np.exp(medians), error)


def fit(measured: Curve) -> TimeLine:
    """The linear fit with the smallest relative error and non-negative coefficients (Hockney's pipeline model)."""
    t0, ts = _least_squares(measured.batches, measured.seconds[None])[0]
    residual = (t0 + measured.batches * ts) / measured.seconds - 1
    misfit = float(np.median(np.abs(residual)))
    # where the line itself is a little wrong, its coefficients are no surer than that
    spare = max(1, len(residual) - 2)
    error = np.maximum(measured.error, np.sqrt((residual**2).sum() / spare))
    drawn = _least_squares(measured.batches, Curve(measured.batches, measured.seconds, error).draws(0))
    return TimeLine(float(t0), float(ts), misfit, drawn)


def half_peak(measured: Curve, line: TimeLine) -> Estimate | None:
    """The batch size of half the peak throughput: t0 / ts if the linear fit is usable, otherwise read from the curve.

    None if the smallest batch size has more than half of the peak, or the largest has less (`Line.grows`).
    """
    if line.fits:
        if line.t0 <= 0 or line.grows(measured.batches[-1]):
            return None
        drawn = line.draws[:, 0] / np.maximum(line.draws[:, 1], 1e-30)
        return Estimate.of(line.t0 / line.ts, drawn)
    value = _half(measured.batches, measured.seconds)
    if value is None:
        return None
    drawn = [_half(measured.batches, seconds) or measured.batches[0] for seconds in measured.draws(0)]
    return Estimate.of(value, drawn)


def crossover(one: Curve, other: Curve) -> Estimate | None:
    """The batch size below which `one` is faster and above which `other` is faster; None if there is none.

    It is (t0' − t0) / (ts − ts') if both linear fits are usable, otherwise the crossing of the curves.
    """
    lines = fit(one), fit(other)
    if all(line.fits for line in lines):
        a, b = (line.draws for line in lines)
        b = b[np.random.default_rng(1).permutation(len(b))]  # the two were measured apart
        drawn = _crossing_of_lines(a, b)
        value = _crossing_of_lines(np.array([[lines[0].t0, lines[0].ts]]), np.array([[lines[1].t0, lines[1].ts]]))[0]
    else:
        common = np.intersect1d(one.batches, other.batches)
        if len(common) < 2:
            return None
        first, second = np.searchsorted(one.batches, common), np.searchsorted(other.batches, common)
        value = _crossing(common, one.seconds[first] / other.seconds[second])
        pairs = zip(one.draws(0), other.draws(1), strict=True)
        drawn = np.array([_crossing(common, x[first] / y[second]) for x, y in pairs])
    seen = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(seen) < DRAWS / 2:
        return None
    return Estimate.of(value, seen)


def _least_squares(batches: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """(curves, 2): t0 and ts ≥ 0 that minimise the sum of ((t0 + b·ts) / t − 1)² for each row of `seconds`."""
    u, w = 1 / seconds, batches / seconds
    uu, uw, ww, u1, w1 = (u * u).sum(1), (u * w).sum(1), (w * w).sum(1), u.sum(1), w.sum(1)
    determinant = np.maximum(uu * ww - uw * uw, 1e-300)
    t0, ts = (u1 * ww - w1 * uw) / determinant, (w1 * uu - u1 * uw) / determinant
    ts = np.where(t0 < 0, w1 / ww, ts)
    t0 = np.where(ts < 0, u1 / uu, np.maximum(t0, 0))
    return np.stack([t0, np.maximum(ts, 0)], axis=1)


def _half(batches: np.ndarray, seconds: np.ndarray) -> float | None:
    """The smallest batch size, interpolated, with half of the largest throughput."""
    speed = np.log(batches / seconds)
    above = speed - (speed.max() - np.log(2))
    first = int(np.argmax(above >= 0))
    if first == 0:
        return None
    part = -above[first - 1] / (above[first] - above[first - 1])
    logs = np.log(batches)
    return float(np.exp(logs[first - 1] + part * (logs[first] - logs[first - 1])))


def _crossing_of_lines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The crossing of two lines, for each pair; NaN if the first is not faster below it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        batch = (other[:, 0] - one[:, 0]) / (one[:, 1] - other[:, 1])
    return np.where((other[:, 0] > one[:, 0]) & (one[:, 1] > other[:, 1]), batch, np.nan)


def _crossing(batches: np.ndarray, ratio: np.ndarray) -> float:
    """The batch size at which a ratio of times first exceeds 1; NaN if it does not."""
    logs = np.log(ratio)
    rises = np.flatnonzero((logs[:-1] < 0) & (logs[1:] >= 0))
    if not len(rises):
        return float("nan")
    i = rises[0]
    part = -logs[i] / (logs[i + 1] - logs[i])
    return float(np.exp(np.log(batches[i]) + part * np.log(batches[i + 1] / batches[i])))
