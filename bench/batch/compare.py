"""What got faster or slower from one file to another, beyond noise. Pure functions of two documents.

A run on another day is faster or slower as a whole: the clock, the temperature, a neighbour. So points are judged
against what all backends share, up to a limit, and against the scatter from one batch size to the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...backends.errors import DataError
from .curve import curve
from .records import Document

LEAST = math.log(1.05)  # a smaller change is none
DRIFT = math.log(1.15)  # what the machine may have done to a whole run, at most
CERTAIN = 4.0  # standard errors beyond which a change is no chance, of some dozens of points


@dataclass(frozen=True)
class Change:
    """One backend at one batch size: seconds after by seconds before, and whether that is more than noise."""

    backend: str
    batch: int
    before: float
    after: float
    ratio: float
    noise: float  # of the ratio, the part that is still chance
    verdict: str  # "faster", "slower" or "same"


@dataclass(frozen=True)
class Comparison:
    """All points that both files have, and by how much everything together moved."""

    drift: float
    changes: list[Change]


def compare(before: Document, after: Document) -> Comparison:
    """Judges each point that both documents have.

    Raises
    ------
    DataError
        They are of different networks, data or optimizers, or have no point in common.
    """
    for name in ("network", "dtype", "optimizer", "data"):
        one, other = getattr(before.task, name), getattr(after.task, name)
        if one != other:
            raise DataError(
                f"the two files are of different tasks: {name} is {one!r} in one and {other!r} in the other"
            )
    found: dict[str, tuple[list[int], np.ndarray, np.ndarray, np.ndarray]] = {}
    for where in before.backends:
        points = {point.batch: point for point in before.of(where.name)}
        others = {point.batch: point for point in after.of(where.name)}
        common = sorted(points.keys() & others.keys())
        if common:
            one, other = (curve(common, [part[batch].rounds for batch in common]) for part in (points, others))
            error = np.hypot(one.error, other.error)
            found[where.name] = (
                common,
                one.seconds,
                other.seconds,
                np.hypot(error, _scatter(one.seconds, other.seconds)),
            )
    if not found:
        raise DataError("the two files have no backend and batch size in common")
    drift = _drift([float(np.median(np.log(after / before))) for _, before, after, _ in found.values()])
    changes = [
        _judged(name, batch, float(one), float(other), float(error), drift)
        for name, (batches, *columns) in found.items()
        for batch, one, other, error in zip(batches, *columns, strict=True)
    ]
    return Comparison(math.exp(drift), changes)


def _scatter(before: np.ndarray, after: np.ndarray) -> float:
    """How far the logarithm of a ratio is from its neighbours': the noise between runs that rounds do not show."""
    if len(before) < 4:
        return LEAST / 2
    steps = np.diff(np.log(after / before))
    return float(1.4826 * np.median(np.abs(steps)) / math.sqrt(2))


def _drift(medians: list[float]) -> float:
    """What every backend shares: the least of their changes."""
    return float(np.clip(min(medians, key=abs), -DRIFT, DRIFT))


def _judged(name: str, batch: int, before: float, after: float, error: float, drift: float) -> Change:
    moved = math.log(after / before) - drift
    limit = max(LEAST, CERTAIN * error)
    verdict = "same" if abs(moved) <= limit else "slower" if moved > 0 else "faster"
    return Change(name, batch, before, after, after / before, math.expm1(limit), verdict)
