"""The analysis of a run of `gearshift bench`: a pure function of the document."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np

from ..records import Document, Estimate
from . import advice
from .curve import Curve, crossover, curve, fit, half_peak
from .findings import Advice, Analysis, Crossing, Knee
from .hyperbola import OFF, Hyperbola
from .sentences import doubted, summary
from .trained import hyperbola


def analyse(document: Document) -> Analysis:
    """Computes knees, crossings, advice and the summary."""
    curves = {record.name: measured for record in document.backends if (measured := curve_of(document, record.name))}
    knees = {name: knee(measured) for name, measured in curves.items()}
    crossings = [found for pair in combinations(curves, 2) if (found := _crossing(curves, *pair))]
    given = sorted((_advice(document, name, curves[name], knees[name]) for name in curves), key=lambda one: one.cost)
    best = given[0].backend if given else ""
    if not document.noise:
        best = max(knees, key=lambda name: knees[name].peak, default="")
        given = []
    found = Analysis(knees, crossings, given, best, bool(best) and doubted(document, best))
    return replace(found, summary=summary(document, found))


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


def measured_hyperbola(document: Document) -> Hyperbola | None:
    """The hyperbola of the trainings; None if there is no noise scale, or too few trainings."""
    scale = noise_scale(document)
    return hyperbola(document.trainings, scale.value) if scale and document.trainings else None


def critical_batch(document: Document) -> Estimate | None:
    """The critical batch size for the advice: measured by training, or else predicted by the noise scale.

    One time in three, the noise scale is off by more than a factor of `OFF`, so its interval is widened by `OFF`².
    """
    scale, shape = noise_scale(document), measured_hyperbola(document)
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
