"""Compares two files and finds changes beyond noise. Pure functions of two documents.

On another day, a whole run may be faster or slower because of the clock, the temperature or other virtual machines. The
reference workload, timed between the rounds of both runs, measures this effect for several kinds of work, which gives a
range of ratios. A change outside this range is compared with the scatter of the rounds and with neighbouring batch
sizes. Points without enough undisturbed rounds are not judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ....backends.errors import DataError
from ..points import Point
from ..records import Document
from .curve import curve
from .disturbed import pace

LEAST = math.log(1.05)  # a smaller change is none
DRIFT = math.log(1.15)  # maximum effect of the machine on a run without a reference workload
CERTAIN = 4.0  # a change of more standard errors is significant, for some dozens of points
SEVERAL = 4  # minimum points for a scatter, and for a change of all of them together
ROBUST = 1.4826  # standard deviation divided by median absolute deviation

Pair = tuple[Point, Point]
Verdict = Literal["faster", "slower", "same", "disturbed"]


@dataclass(frozen=True)
class Change:
    """Seconds after divided by seconds before, and whether the change is significant.

    Attributes
    ----------
    batch : None if it is of all batch sizes together, whose `ratio` is their median.
    before, after : seconds per step; 0 if they are of several batch sizes.
    noise : the part of the ratio that may be noise, beyond the range of the machine.
    """

    backend: str
    batch: int | None
    before: float
    after: float
    ratio: float
    noise: float
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """All points that both files have.

    Attributes
    ----------
    machine : the reference workload's time after divided by that before, by kind; empty if a file has none.
    low, high : the range of ratios that the machine explains.
    backends : each backend's batch sizes together.
    changes : each point.
    """

    machine: dict[str, float]
    low: float
    high: float
    backends: list[Change] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    @property
    def comparable(self) -> bool:
        """Whether at least half of the points could be judged."""
        return 2 * sum(change.verdict == "disturbed" for change in self.changes) <= len(self.changes)

    @property
    def slower(self) -> bool:
        """Whether anything is."""
        return any(change.verdict == "slower" for change in self.backends + self.changes)


def compare(before: Document, after: Document) -> Comparison:
    """Judges each point that both documents have.

    Raises
    ------
    DataError
        The files have different networks, data or optimizers, or no common point.
    """
    for name in ("network", "dtype", "optimizer", "data"):
        one, other = getattr(before.task, name), getattr(after.task, name)
        if one != other:
            raise DataError(
                f"the two files are of different tasks: {name} is {one!r} in one and {other!r} in the other"
            )
    common = {record.name: pairs for record in before.backends if (pairs := _common(before, after, record.name))}
    if not common:
        raise DataError("the two files have no backend and batch size in common")
    judged = {name: [pair for pair in pairs if not _unsure(pair)] for name, pairs in common.items()}
    one, other = pace(before), pace(after)
    machine = {kind: other[kind] / one[kind] for kind in one if kind in other}
    paces = [math.log(ratio) for ratio in machine.values()] or [_shared(list(judged.values()))]
    low, high = min(paces), max(paces)
    found = Comparison(machine, math.exp(low), math.exp(high))
    for name, pairs in common.items():
        errors = _errors(judged[name])
        if len(judged[name]) >= SEVERAL:
            found.backends.append(_together(name, _moved(judged[name]), errors, low, high))
        known = {one.batch: error for (one, _), error in zip(judged[name], errors, strict=True)}
        found.changes.extend(_change(pair, known.get(pair[0].batch), low, high) for pair in pairs)
    return found


def _common(before: Document, after: Document, name: str) -> list[Pair]:
    others = {point.batch: point for point in after.of(name)}
    return [(point, others[point.batch]) for point in before.of(name) if point.batch in others]


def _unsure(pair: Pair) -> bool:
    return pair[0].unsure or pair[1].unsure


def _moved(pairs: Sequence[Pair]) -> np.ndarray:
    """Logarithms of the ratios."""
    return np.log([other.step_seconds / one.step_seconds for one, other in pairs])


def _shared(backends: Sequence[Sequence[Pair]]) -> float:
    """The smallest change of all backends, for files without a reference workload."""
    medians = [float(np.median(_moved(pairs))) for pairs in backends if pairs]
    return float(np.clip(min(medians, key=abs, default=0.0), -DRIFT, DRIFT))


def _errors(pairs: Sequence[Pair]) -> np.ndarray:
    """The error of each logarithm, from the scatter of the rounds and of neighbouring batch sizes."""
    if not pairs:
        return np.zeros(0)
    batches = [one.batch for one, _ in pairs]
    one, other = (curve(batches, [pair[n].counted for pair in pairs]).error for n in (0, 1))
    steps = np.diff(_moved(pairs))
    scatter = ROBUST * np.median(np.abs(steps)) / math.sqrt(2) if len(pairs) >= SEVERAL else LEAST / 2
    return np.hypot(np.hypot(one, other), scatter)


def _together(name: str, moved: np.ndarray, errors: np.ndarray, low: float, high: float) -> Change:
    """The median over the batch sizes of a backend. Their differences do not count as its error."""
    median = float(np.median(moved))
    limit = max(LEAST, CERTAIN * math.sqrt(math.pi / 2 / len(moved)) * float(np.median(errors)))
    return Change(name, None, 0, 0, math.exp(median), math.expm1(limit), _verdict(median, low, high, limit))


def _change(pair: Pair, error: float | None, low: float, high: float) -> Change:
    """One point; without an error it cannot be judged."""
    one, other = pair
    before, after = one.step_seconds, other.step_seconds
    limit = max(LEAST, CERTAIN * float(error or 0.0))
    verdict = "disturbed" if error is None else _verdict(math.log(after / before), low, high, limit)
    return Change(one.backend, one.batch, before, after, after / before, math.expm1(limit), verdict)


def _verdict(moved: float, low: float, high: float, limit: float) -> Verdict:
    """The distance to the range that the machine explains."""
    if low - limit <= moved <= high + limit:
        return "same"
    return "slower" if moved > high else "faster"
