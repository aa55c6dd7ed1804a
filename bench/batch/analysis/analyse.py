"""The analysis of a run of `gearshift bench`: a pure function of the document."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from ..records import Document, Estimate, Point
from . import advice
from .curve import Curve, crossover, curve, fit, half_peak
from .hyperbola import OFF
from .trained import hyperbola

DOUBTFUL = 0.25  # if this share of the batch sizes was disturbed, the advice is marked as doubtful
WAITS = {
    ("compute", "graph"): "arithmetic",
    ("compute", "fused_mlp"): "arithmetic",
    ("memory", "graph"): "memory",
    ("memory", "fused_mlp"): "memory",
    ("launch", "graph"): "calls from Python",
    ("launch", "fused_mlp"): "thread synchronisation",
    ("launch", "cupy"): "kernel launches",
}


@dataclass(frozen=True)
class Knee:
    """The batch size at which throughput stops growing.

    Attributes
    ----------
    t0, ts, misfit, fits : the linear fit t(b) = t0 + b·ts, its error, and whether it is usable.
    half_peak : batch size of half the peak throughput; None if it is outside the measured batch sizes.
    grows : whether throughput still grows at the largest batch size, so that n½ is larger than all measured ones.
    peak : the highest throughput, in samples per second.
    peak_batch : the batch size with the highest throughput.
    underuse : the peak throughput divided by that of the smallest batch size.
    """

    t0: float
    ts: float
    misfit: float
    fits: bool
    half_peak: Estimate | None
    grows: bool
    peak: float
    peak_batch: int
    underuse: float


@dataclass(frozen=True)
class Crossing:
    """From which batch size `above` is the faster of two; below it `below` is.

    If there is no such batch size, `above` is faster at every batch size, or at most of them if `throughout` is False.
    """

    below: str
    above: str
    batch: Estimate | None
    throughout: bool = True


@dataclass(frozen=True)
class Advice:
    """The best batch size on a backend, and the settings for it.

    Attributes
    ----------
    batch : the advised batch size, a round number; `best_batch` is the optimum, `low` to `high` are within 5 % of it.
    critical : the critical batch size that the advice is based on.
    low_critical, high_critical : the best batch sizes for the ends of its confidence interval.
    explained : √(B·n½) if the linear fit is usable, otherwise None.
    gain : the speed-up over the configured batch size; None if that one was not measured.
    memory_bytes : activations and workspace at `batch`.
    """

    backend: str
    critical: float
    batch: int
    best_batch: int
    low: int
    high: int
    low_critical: int
    high_critical: int
    explained: float | None
    edge: str
    cost: float
    gain: float | None
    lr: float
    epochs: int
    schedule_steps: int
    warmup: int
    memory_bytes: int


@dataclass(frozen=True)
class Analysis:
    """The whole analysis. `best` is the recommended backend; its advice comes first."""

    knees: dict[str, Knee] = field(default_factory=dict)
    crossings: list[Crossing] = field(default_factory=list)
    advice: list[Advice] = field(default_factory=list)
    best: str = ""
    sentence: str = ""


def analyse(document: Document) -> Analysis:
    """Computes knees, crossings, advice and the summary sentence."""
    curves = {record.name: measured for record in document.backends if (measured := curve_of(document, record.name))}
    knees = {name: knee(measured) for name, measured in curves.items()}
    crossings = [found for pair in combinations(curves, 2) if (found := _crossing(curves, *pair))]
    given = sorted((_advice(document, name, curves[name], knees[name]) for name in curves), key=lambda one: one.cost)
    best = given[0].backend if given else ""
    if not document.noise:
        best = max(knees, key=lambda name: knees[name].peak, default="")
        given = []
    return Analysis(knees, crossings, given, best, sentence(document, knees, crossings, given, best))


def curve_of(document: Document, backend: str) -> Curve | None:
    """A backend's curve; None if fewer than two batch sizes were measured."""
    points = document.of(backend)
    return curve([point.batch for point in points], [point.counted for point in points]) if len(points) > 1 else None


def knee(measured: Curve) -> Knee:
    """The knee of a curve."""
    line, speeds = fit(measured), measured.batches / measured.seconds
    top = int(speeds.argmax())
    return Knee(
        line.t0,
        line.ts,
        line.misfit,
        line.fits,
        half_peak(measured, line),
        line.grows(measured.batches[-1]),
        float(speeds[top]),
        int(measured.batches[top]),
        float(speeds[top] / speeds[0]),
    )


def _crossing(curves: dict[str, Curve], one: str, other: str) -> Crossing | None:
    """The crossing of two curves; None if they have fewer than two batch sizes in common."""
    a, b = curves[one], curves[other]
    for below, above in ((one, other), (other, one)):
        found = crossover(curves[below], curves[above])
        if found and a.batches[0] < found.value < a.batches[-1]:
            return Crossing(below, above, found)
    batches = np.union1d(a.batches, b.batches)
    batches = batches[(batches >= max(a.batches[0], b.batches[0])) & (batches <= min(a.batches[-1], b.batches[-1]))]
    if len(batches) < 2:
        return None
    quicker = a.at(batches) < b.at(batches)
    slower, faster = (other, one) if quicker.mean() > 0.5 else (one, other)
    return Crossing(slower, faster, None, throughout=bool(quicker.all() or not quicker.any()))


def noise_scale(document: Document) -> Estimate | None:
    """The noise scale for the optimizer; for Adam, that of the gradients as Adam scales them."""
    if document.noise is None:
        return None
    return document.noise.adam or document.noise.scale


def critical_batch(document: Document) -> Estimate | None:
    """The critical batch size for the advice: measured by training, or else predicted by the noise scale.

    One time in three, the noise scale is off by more than a factor of `OFF`, so its interval is widened by `OFF`².
    """
    scale = noise_scale(document)
    shape = hyperbola(document.trainings, scale.value) if scale and document.trainings else None
    if shape is not None or scale is None:
        return shape and shape.critical
    return Estimate(value=scale.value, low=scale.low / OFF**2, high=scale.high * OFF**2)


def _advice(document: Document, name: str, measured: Curve, knee: Knee) -> Advice:
    task, scale = document.task, critical_batch(document) or Estimate(value=0, low=0, high=0)
    best = advice.best_batch(measured, scale.value, task.rows)
    ends = [advice.best_batch(measured, noise, task.rows).batch for noise in (scale.low, scale.high)]
    batch, before = advice.pleasant(best), min(task.batch_size, task.rows)
    inside = measured.batches[0] <= before <= measured.batches[-1]
    point = min(document.of(name), key=lambda point: abs(math.log(point.batch / batch)))
    epochs = advice.epochs(before, batch, scale.value, task.epochs)
    stretch = math.ceil(task.rows / batch) * epochs / (math.ceil(task.rows / before) * task.epochs)
    return Advice(
        backend=name,
        critical=scale.value,
        batch=batch,
        best_batch=best.batch,
        low=best.low,
        high=best.high,
        low_critical=ends[0],
        high_critical=ends[1],
        explained=math.sqrt(scale.value * knee.t0 / knee.ts) if knee.fits and knee.ts > 0 else None,
        edge=best.edge,
        cost=best.cost,
        gain=float(advice.cost(measured, scale.value, before) / best.cost) if inside else None,
        lr=advice.rounded(advice.learning_rate(task.optimizer, task.lr, before, batch, scale.value)),
        epochs=epochs,
        schedule_steps=round(task.schedule_steps * stretch),
        warmup=round(task.warmup * stretch),
        memory_bytes=round(point.memory_bytes * batch / point.batch) if batch > point.batch else point.memory_bytes,
    )


def sentence(
    document: Document, knees: dict[str, Knee], crossings: list[Crossing], given: list[Advice], best: str
) -> str:
    """The summary in words."""
    if not best:
        return "Too little was measured for an analysis: it needs two batch sizes."
    parts = [*_doubt(document, best), _underuse(document, knees[best], best)]
    if given:
        parts.append(_best_batch(document, given))
    for crossing in crossings:
        if best in (crossing.below, crossing.above):
            parts.append(_faster(crossing, best))
    text = " ".join(parts)
    return f"(Simulated.) {text}" if document.simulated else text


def _doubt(document: Document, name: str) -> list[str]:
    """A warning if something else used the machine at many of the backend's batch sizes."""
    points = document.of(name)
    met = sum(point.unsure for point in points)
    if met < DOUBTFUL * len(points):
        return []
    return [
        f"Something else used the machine in nearly every round at {met} of {len(points)} batch sizes of {name}. "
        "Stop it and run again; the following may be wrong."
    ]


def _underuse(document: Document, knee: Knee, name: str) -> str:
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


def _best_batch(document: Document, given: list[Advice]) -> str:
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


def _faster(crossing: Crossing, best: str) -> str:
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
