"""The findings of an analysis in sentences."""

from __future__ import annotations

import math

from ..points import Point
from ..records import Document
from .findings import Advice, Crossing, Knee

DOUBTFUL = 0.25  # if this share of the batch sizes was disturbed, the advice is marked as doubtful
WAITS = {
    ("compute", "graph"): "arithmetic",
    ("compute", "compiled"): "arithmetic",
    ("memory", "graph"): "memory",
    ("memory", "compiled"): "memory",
    ("launch", "graph"): "calls from Python",
    ("launch", "compiled"): "thread synchronisation",
    ("launch", "cupy"): "kernel launches",
}


def sentence(
    document: Document, knees: dict[str, Knee], crossings: list[Crossing], given: list[Advice], best: str
) -> str:
    """The summary in words."""
    if not best:
        return "Too little was measured for an analysis: it needs two batch sizes."
    parts = [*doubt(document, best), underuse(document, knees[best], best)]
    if given:
        parts.append(best_batch(document, given))
    for crossing in crossings:
        if best in (crossing.below, crossing.above):
            parts.append(faster(crossing, best))
    text = " ".join(parts)
    return f"(Simulated.) {text}" if document.simulated else text


def doubt(document: Document, name: str) -> list[str]:
    """A warning if something else used the machine at many of the backend's batch sizes."""
    points = document.of(name)
    met = sum(point.unsure for point in points)
    if met < DOUBTFUL * len(points):
        return []
    return [
        f"Something else used the machine in nearly every round at {met} of {len(points)} batch sizes of {name}. "
        "Stop it and run again; the following may be wrong."
    ]


def underuse(document: Document, knee: Knee, name: str) -> str:
    points = document.of(name)
    first, half = points[0].batch, knee.half_peak.value if knee.half_peak else 0.0
    if knee.grows:
        last = points[-1]
        text = f"{name} is underused up to batch {last.batch:,}, the largest ({knee.underuse:.3g}× at batch {first:,})"
        why = held_back(document, last)
        return f"{text}: {why}." if why else f"{text}."
    if half <= first:
        return f"{name} reaches half its peak throughput already at batch {first:,}."
    text = f"Below batch {two_digits(half)}, {name} is underused ({knee.underuse:.3g}× at batch {first:,})"
    low = [point for point in points if point.batch < half]
    point = min(low, key=lambda one: abs(math.log(4 * one.batch / half)))
    why = held_back(document, point)
    return f"{text}: {why}." if why else f"{text}."


def held_back(document: Document, point: Point) -> str:
    """What limits a step, in words."""
    if point.bound is None or point.fault:
        return ""
    record = document.backend(point.backend)
    kind = record.name if (point.bound, record.name) in WAITS else record.loop
    part = point.bound_seconds[point.bound] / point.step_seconds
    lost = 1 - min(1.0, point.share or 1.0)
    text = f"at batch {point.batch:,} it waits for {WAITS[point.bound, kind]} during {part:.0%} of each step"
    most = most_bound(point)
    text += f", mostly in {most}" if most else ""
    if lost <= part:
        return text
    first = next(iter(lost_by_operation(point)), "")
    return f"{text}, and {lost:.0%} exceeds the time bounds" + (f", most of it in {first}" if first else "")


def most_bound(point: Point) -> str:
    """The operation with more than half of the compute or memory bound; empty if there is none."""
    parts: dict[str, float] = {}
    for time_bound in point.time_bounds:
        if time_bound.bound == point.bound != "launch":
            parts[time_bound.operation] = parts.get(time_bound.operation, 0.0) + time_bound.least
    name = max(parts, key=lambda one: parts[one], default="")
    return name if name and 2 * parts[name] > sum(parts.values()) else ""


def lost_by_operation(point: Point) -> dict[str, float]:
    """The share of a step by which operations exceed their time bounds, largest first; empty for compiled loops."""
    lost: dict[str, float] = {}
    total = sum(time_bound.seconds or 0.0 for time_bound in point.time_bounds)
    for time_bound in point.time_bounds:
        if time_bound.seconds is not None:
            lost[time_bound.operation] = (
                lost.get(time_bound.operation, 0.0) + max(0.0, time_bound.seconds - time_bound.least) / total
            )
    return dict(sorted(lost.items(), key=lambda item: -item[1]))


def best_batch(document: Document, given: list[Advice]) -> str:
    first = given[0]
    if first.low == first.high:
        text = f"On this data, batch {first.low:,} reaches the target fastest"
    else:
        text = f"On this data, batches of {two_digits(first.low)} to {two_digits(first.high)} reach the target fastest"
    if len(given) > 1:
        text += f", {given[1].cost / first.cost:.2g}× faster than {given[1].backend} at its best"
    if first.edge == "largest" and first.high >= document.task.rows:
        text += "; the whole data set is the best batch"
    return text + "."


def faster(crossing: Crossing, best: str) -> str:
    other = crossing.below if best == crossing.above else crossing.above
    if crossing.batch is not None:
        side = "below" if best == crossing.above else "above"
        return f"{other} is faster {side} batch {two_digits(crossing.batch.value)}."
    extent = "at every batch size" if crossing.throughout else "at most batch sizes"
    return f"{other} is {'slower' if best == crossing.above else 'faster'} {extent}."


def two_digits(number: float) -> str:
    """A batch size rounded to two digits, with commas."""
    if number < 100:
        return f"{max(1, round(number)):,}"
    power = 10 ** (len(str(int(number))) - 2)
    return f"{round(number / power) * power:,}"
