"""Analysis of the results: faults, ratios, ties, geometric means. Pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..quartiles import quartiles
from .contender import ENTRIES, OURS, PEAK, REFERENCE
from .results import PeersPoint

TIE = 0.05  # ratios this near to 1 are ties
# of losses; Adam divides small gradients by their size, and so makes much of their rounding: JAX and PyTorch part by
# 7e-5 within five steps. After epochs, whose orders differ, losses are only alike.
AGREEMENT = {"step": 1e-3, "epoch": 0.3, "model": 0.3, "ranks": 0.3}
SMALL = 32  # the largest batch that counts as small


@dataclass(frozen=True)
class Ratio:
    """The time of another contender divided by ours at a point.

    Attributes
    ----------
    value : the other's median seconds / ours.
    low, high : quartiles of the ratios within each round.
    """

    point: PeersPoint
    other: str
    value: float
    low: float
    high: float

    @property
    def tie(self) -> bool:
        """Whether it is within 5 % of 1, or its middle half contains 1."""
        return abs(self.value - 1) <= TIE or self.low <= 1 <= self.high

    @property
    def verdict(self) -> str:
        """``"faster"``, ``"tie"`` or ``"slower"``."""
        return "tie" if self.tie else "faster" if self.value > 1 else "slower"


def disagreement(losses: dict[str, list[float]]) -> dict[str, float]:
    """The distance of each contender's losses to those of the median contender, relative to the mean of the latter.

    Single losses cannot be compared: on one row, the loss falls to rounding error within a few steps. Non-finite losses
    have an infinite distance.
    """
    finite = [own for own in losses.values() if all(map(math.isfinite, own))]
    columns = list(zip(*finite, strict=True))
    middle = [statistics.median_low(column) for column in columns]
    scale = max(statistics.fmean(map(abs, middle)), 1e-30) if middle else 1.0
    return {
        name: max(abs(a - b) for a, b in zip(own, middle, strict=True)) / scale if own in finite else math.inf
        for name, own in losses.items()
    }


def mark_faults(point: PeersPoint) -> float:
    """Gives a fault to each contender whose losses disagree; returns the worst disagreement among the others."""
    losses = {name: result.losses for name, result in point.results.items() if result.losses and not result.fault}
    limit, worst = AGREEMENT[point.measure], 0.0
    for name, found in disagreement(losses).items() if losses else ():
        if found > limit:
            point.results[name].fault = f"its losses differ by {found:.1e} of their mean; allowed is {limit:.0e}"
        else:
            worst = max(worst, found)
    return worst


def spread(point: PeersPoint) -> float:
    """The worst disagreement among the contenders that count."""
    losses = {name: result.losses for name, result in point.results.items() if result.losses and result.counts}
    return max(disagreement(losses).values(), default=0.0) if losses else 0.0


def others(point: PeersPoint) -> list[str]:
    """The contenders that train and count at a point, without Gearshift's."""
    return [
        name
        for name, result in point.results.items()
        if result.counts and ENTRIES[name].learns and not ENTRIES[name].ours
    ]


def fastest_other(point: PeersPoint) -> str | None:
    """The fastest contender of another library; None if there is none."""
    return min(others(point), key=lambda name: point.results[name].median, default=None)


def ratio(point: PeersPoint, other: str | None, ours: str = OURS) -> Ratio | None:
    """Ours against another; None if either does not count."""
    mine, its = point.results.get(ours), point.results.get(other or "")
    if other is None or mine is None or its is None or not (mine.counts and its.counts):
        return None
    low, high = quartiles([b / a for a, b in zip(mine.seconds, its.seconds, strict=False)])
    return Ratio(point, other, its.median / mine.median, low, high)


def against_best(points: Iterable[PeersPoint]) -> list[Ratio]:
    """Our ratio to the fastest other contender, at each point that has both."""
    found = (ratio(point, fastest_other(point)) for point in points)
    return [one for one in found if one is not None]


def against_reference(points: Iterable[PeersPoint]) -> list[Ratio]:
    """Our ratio to the reference workload, at each point that has both; step / reference is 1 / value."""
    found = (ratio(point, REFERENCE) for point in points)
    return [one for one in found if one is not None]


def limit(point: PeersPoint) -> Ratio | None:
    """What no library can exceed at a point: the ratio of the fastest other contender to the products at their peak."""
    return ratio(point, fastest_other(point), PEAK)


def limits(points: Iterable[PeersPoint]) -> list[Ratio]:
    """The limit at each point that has one."""
    return [one for one in map(limit, points) if one is not None]


def faster_than_reference(point: PeersPoint) -> list[str]:
    """The contenders that need less time than the reference workload."""
    bare = point.results.get(REFERENCE)
    if bare is None or not bare.counts:
        return []
    return [name for name in others(point) if point.results[name].median < bare.median]


def geometric_mean(values: Sequence[float]) -> float:
    """exp of the mean logarithm; NaN of nothing."""
    return statistics.geometric_mean(values) if values else float("nan")


@dataclass(frozen=True)
class SummaryLine:
    """A line of the summary: a geometric mean of ratios, and the worst of them."""

    title: str
    mean: float
    worst: float
    where: str
    points: int


def line(title: str, ratios: Sequence[Ratio], *, inverse: bool = False) -> SummaryLine | None:
    """Summarises ratios, or their inverses, whose worst case is the largest; None without ratios."""
    if not ratios:
        return None
    worst = min(ratios, key=lambda one: one.value)
    mean = geometric_mean([one.value for one in ratios])
    where = f"{worst.point.network}, batch {worst.point.batch}"
    if inverse:
        return SummaryLine(title, 1 / mean, 1 / worst.value, where, len(ratios))
    return SummaryLine(title, mean, worst.value, f"{where}: {worst.other}", len(ratios))


def step_summary(points: Sequence[PeersPoint]) -> list[SummaryLine]:
    """Our ratio to the fastest other contender over batch ranges and networks, its limit, and step / reference."""
    best = against_best(points)
    small = [one for one in best if one.point.batch <= SMALL]
    networks = dict.fromkeys(one.point.network for one in best)
    lines = [line(f"fastest other, batch ≤ {SMALL}", small), line("fastest other, all batches", best)]
    for network in networks:
        here = [one for one in best if one.point.network == network]
        lines.append(line(f"fastest other, {network}", here))
        few = [one for one in here if one.point.batch <= SMALL]
        lines.append(line(f"fastest other, {network}, batch ≤ {SMALL}", few))
    lines.append(line("limit, all batches", limits(points)))
    lines.append(line("step / reference", against_reference(points), inverse=True))
    return [one for one in lines if one is not None]


def epoch_summary(points: Sequence[PeersPoint], what: str) -> list[SummaryLine]:
    """Our ratio to each other contender over all networks, or models, which `what` calls them, and its limit."""
    lines: list[SummaryLine | None] = []
    for name in ENTRIES:
        ratios = [ratio(point, name) for point in points if name in others(point)]
        lines.append(line(f"{name}, {what}", [one for one in ratios if one is not None]))
    lines.append(line(f"limit, {what}", limits(points)))
    return [one for one in lines if one is not None]
