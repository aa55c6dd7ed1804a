"""The findings of an analysis in sentences: what to use, why, and what it gains."""

from __future__ import annotations

import math

from ..points import Point
from ..records import Document
from .findings import Advice, Analysis, Knee
from .trained import hyperbola

DOUBTFUL = 0.25  # if more than this share of the batch sizes was disturbed, there is no advice
SPENT = {
    ("compute", "graph"): "arithmetic",
    ("compute", "compiled"): "arithmetic",
    ("memory", "graph"): "moving data in memory",
    ("memory", "compiled"): "moving data in memory",
    ("launch", "graph"): "calls from Python",
    ("launch", "compiled"): "thread synchronisation",
    ("launch", "cupy"): "kernel launches",
}


def summary(document: Document, found: Analysis) -> list[str]:
    """Three lines: what to use, why, and what it gains. Where there is no advice, why."""
    if not found.best:
        lines = ["No advice: too little was measured. It needs at least two batch sizes."]
    elif found.doubted:
        met, points = disturbed(document, found.best), document.of(found.best)
        lines = [
            f"No advice: other programs used the machine at {met} of {len(points)} batch sizes of {found.best}, so the "
            "times below are not reliable.",
            "Stop them, and run the same command again.",
        ]
    else:
        lines = [use(document, found), why(document, found), gain(document, found)]
    if document.simulated:
        lines[0] = f"(Simulated.) {lines[0]}"
    return lines


def disturbed(document: Document, name: str) -> int:
    """The number of batch sizes with too few undisturbed rounds."""
    return sum(point.unsure for point in document.of(name))


def doubted(document: Document, name: str) -> bool:
    """Whether other programs used the machine at so many batch sizes of the backend that advice may be wrong."""
    return disturbed(document, name) > DOUBTFUL * len(document.of(name))


def use(document: Document, found: Analysis) -> str:
    """The backend, and with a noise scale the batch size, the learning rate and the epochs."""
    best = found.best
    if not found.advice:
        knee, absent = found.knees[best], document.noise_absent or "the gradient noise was not measured"
        return (
            f"Use: {best}, the fastest backend here ({two_digits(knee.peak)} samples/s at batch {knee.peak_batch:,}). "
            f"No batch size is advised, because {absent}."
        )
    first = found.advice[0]
    text = f"Use: batch size {first.batch:,} on {best}, learning rate {first.lr:g}, {first.epochs} epochs"
    if first.low < first.high:
        text += f" (batch sizes {two_digits(first.low)} to {two_digits(first.high)} are as fast within 5 %)"
    return text + "."


def why(document: Document, found: Analysis) -> str:
    """What is wrong with smaller batches, and what with larger ones."""
    parts = [smaller(document, found.knees[found.best], found.best)]
    if found.advice:
        parts.append(larger(document, found.advice[0]))
        if document.trainings is None or hyperbola(document.trainings) is None:
            parts.append("This is a rough estimate from the gradient noise alone; a longer --budget checks it.")
    return f"Why: {' '.join(parts)}"


def smaller(document: Document, knee: Knee, name: str) -> str:
    """How far small batches leave the device idle."""
    points, device = document.of(name), "GPU" if name == "cupy" else "CPU"
    first, half = points[0].batch, knee.half_peak.value if knee.half_peak else 0.0
    if knee.grows:
        last = points[-1]
        text = f"the {device} is underused up to batch {last.batch:,}, the largest that was measured"
        return f"{text}{spent(document, last)}."
    if half <= first:
        return f"even batch {first:,} reaches more than half of the {device}'s peak throughput."
    low = [point for point in points if point.batch < half]
    point = min(low, key=lambda one: abs(math.log(4 * one.batch / half)))
    return (
        f"below batch {two_digits(half)} the {device} is underused (the peak throughput is {knee.underuse:.2g} times "
        f"that of batch {first:,}){spent(document, point)}."
    )


def larger(document: Document, first: Advice) -> str:
    """What larger batches cost."""
    if first.edge == "largest" and first.high >= document.task.rows:
        return "Even the whole data set as one batch is worth its time."
    if first.edge == "smallest":
        return f"Smaller batches than {first.best_batch:,} were not measured and may be faster still."
    if first.edge == "largest":
        return f"Larger batches than {first.best_batch:,} were not measured and may be faster still."
    return (
        f"Above batch {two_digits(max(1.0, first.critical))} (the critical batch size), larger batches need many more "
        "epochs for the same loss."
    )


def spent(document: Document, point: Point) -> str:
    """What takes most of a step, in words; empty if the time bounds do not explain it."""
    bound = point.bound
    if bound is None or bound != point.limit or point.fault:
        return ""
    record = document.backend(point.backend)
    kind = record.name if (bound, record.name) in SPENT else record.loop
    part = min(1.0, point.bound_seconds[bound] / point.step_seconds)
    most = most_bound(point)
    where = f", mostly by {most}" if most else ""
    return f": at batch {point.batch:,} a step spends {part:.0%} of its time on {SPENT[bound, kind]}{where}"


def gain(document: Document, found: Analysis) -> str:
    """The predicted speed-up over the configured batch size, and over the next backend."""
    parts, best, task = [], found.best, document.task
    if not found.advice:
        knee = found.knees[best]
        parts.append(
            f"batch {knee.peak_batch:,} has {knee.underuse:.2g} times the samples/s of batch "
            f"{document.of(best)[0].batch:,}"
        )
    else:
        first = found.advice[0]
        if first.gain is None:
            parts.append(f"unknown, as the configured batch size, {task.batch_size:,}, is outside the measured ones")
        elif first.low <= min(task.batch_size, task.rows) <= first.high:
            parts.append(f"none over the configured batch size, {task.batch_size:,}, which is as fast within 5 %")
        else:
            parts.append(f"{first.gain:.2g} times as fast to the same training loss as batch {task.batch_size:,}")
        for other in found.advice[1:2]:
            ratio = other.cost / first.cost
            parts.append(f"{ratio:.2g} times as fast as {other.backend} with its best batch size")
    for crossing in found.crossings:
        if crossing.batch is not None and best in (crossing.below, crossing.above):
            other = crossing.below if best == crossing.above else crossing.above
            side = "below" if best == crossing.above else "above"
            parts.append(f"{other} has faster steps {side} batch {two_digits(crossing.batch.value)}")
    return f"Gain: {'; '.join(parts)}."


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


def two_digits(number: float) -> str:
    """A batch size rounded to two digits, with commas."""
    if number < 100:
        return f"{max(1, round(number)):,}"
    power = 10 ** (len(str(int(number))) - 2)
    return f"{round(number / power) * power:,}"
