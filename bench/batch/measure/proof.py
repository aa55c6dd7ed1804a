"""Proof of cause: changes one thing about a step, and compares the predicted with the measured effect.

If a step has the bound that the peak rates say, then a change affects it in proportion: twice the bytes slow down a
memory-bound step, half the threads a compute-bound step, and neither affects a launch-bound step. The lost time may
stay the same or change in proportion, so a prediction is a range.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from threadpoolctl import threadpool_limits

from ....backends import Backend, host
from ....backends.errors import ConfigurationError
from ....backends.thread_pool import ThreadPool
from ....dl.data import Splits
from ....dl.experiment import build as experiment
from ....dl.experiment.sections import Configuration
from ....dl.step.plan import Plan
from ....dl.step.plans import plan_of
from ....dl.training.trainer import Trainer
from ...peers.worker import fall_asleep
from ..points import BOUNDS, Point
from ..records import BackendRecord, Document, Proof
from .steps import launched_one_by_one
from .sweep import FULL, Budget, SweptBackend

ROUNDS = 7
VISIT = 0.1  # seconds of a round's steps
LARGEST = 4096  # rows
PRECISIONS = {"tf32": "TF32", "bfloat16": "bfloat16"}  # that change a float32 step, in words


@dataclass(frozen=True)
class Variant:
    """A variant of the same step.

    Attributes
    ----------
    change : description of the change.
    settings : changed keys of the configuration, by section.
    make : makes the plan of a step.
    within : context manager that is active while it runs.
    """

    change: str
    settings: dict[str, dict[str, Any]]
    make: Callable[..., Plan] = plan_of
    within: Callable[[Backend], AbstractContextManager[Any]] = lambda backend: nullcontext()


def variants(configuration: Configuration, backend: Backend, plan: Plan) -> list[Variant]:
    """The possible variants of this plan on this backend."""
    single = configuration.model.dtype == "float32"
    other = "float64" if single else "float32"
    found = [Variant(other, {"model": {"dtype": other}, "train": {"precision": "auto"}})]
    if single:
        known = {precision: name for precision, name in PRECISIONS.items() if precision in backend.precisions}
        found += [Variant(name, {"train": {"precision": precision}}) for precision, name in known.items()]
    if plan.steps(plan.capacity).captured:
        found.append(Variant("launched call by call", {}, within=launched_one_by_one))
    if plan.kind == "compiled":
        found.append(Variant("operation by operation", {}, make=Plan))
    if plan.thread_pool is not None:
        found.append(Variant("one thread", {}, make=partial(plan_of, workers=ThreadPool(1))))
    elif plan.kind == "graph" and not backend.captures and host.threads() > 1:
        found.append(Variant("one thread", {}, within=lambda _: threadpool_limits(1, "blas")))
    return found


def prove(document: Document, configuration: Configuration, splits: Splits, name: str, budget: Budget) -> None:
    """Fills the document's `proofs`: each variant, at the batch sizes where each bound is strongest.

    Raises
    ------
    Stopped
        By Ctrl-C; finished proofs are in the document.
    """
    document.proofs = []
    points = strongest([point for point in document.of(name) if point.batch <= LARGEST and not point.fault])
    if not points:
        return
    try:
        base = _swept(configuration, splits, name, None)
        for point in points:
            base.prepare(point.batch, VISIT)
        base.measure_peak_rates()
    except FULL:
        return  # the plans of the sweep have taken the rest
    plan = base.steps[points[0].batch].plan
    for variant in variants(configuration, base.trainer.backend, plan):
        budget.note(f"{name}: {variant.change}")
        try:
            document.proofs += _proved(base, variant, configuration, splits, points)
        except (*FULL, ConfigurationError):
            continue  # it does not fit, or the network is none for it


def strongest(points: list[Point]) -> list[Point]:
    """The smallest batch size, and for each bound the point where it has the largest share of the step."""
    found = {point.batch: point for point in points[:1]}
    for name in BOUNDS:
        bound = [(point.bound_seconds[name] / point.step_seconds, point) for point in points if point.bound == name]
        if bound:
            point = max(bound, key=lambda pair: pair[0])[1]
            found[point.batch] = point
    return [found[batch] for batch in sorted(found)]


def _proved(
    base: SweptBackend, variant: Variant, configuration: Configuration, splits: Splits, points: list[Point]
) -> Iterator[Proof]:
    changed = _swept(configuration, splits, base.record.name, variant)
    backend = changed.trainer.backend
    with variant.within(backend):
        for point in points:
            changed.prepare(point.batch, VISIT)
        changed.measure_peak_rates()
    times: dict[int, list[tuple[float, float]]] = {point.batch: [] for point in points}
    for _ in range(ROUNDS):
        for batch, pairs in times.items():
            fall_asleep()
            before = base.steps[batch].timed(base.count[batch])
            fall_asleep()
            with variant.within(backend):
                pairs.append((before, changed.steps[batch].timed(changed.count[batch])))
    fall_asleep()
    base.measure_peak_rates()
    fall_asleep()
    with variant.within(backend):
        changed.measure_peak_rates()
    for point in points:
        pairs = times[point.batch]
        one, other = (_explained(who, point, [pair[n] for pair in pairs]) for n, who in enumerate((base, changed)))
        stays = 1 + (other.attainable_seconds - one.attainable_seconds) / one.step_seconds
        alike = other.attainable_seconds / one.attainable_seconds
        yield Proof(
            backend=base.record.name,
            batch=point.batch,
            bound=one.bound,
            change=variant.change,
            low=min(stays, alike),
            high=max(stays, alike),
            measured=statistics.median(after / before for before, after in pairs),
            fault=one.fault or other.fault,
        )


def _explained(swept: SweptBackend, point: Point, rounds: list[float]) -> Point:
    found = Point(backend=point.backend, batch=point.batch, rounds=rounds)
    swept.explain(found, 0.0)
    return found


def _swept(configuration: Configuration, splits: Splits, name: str, variant: Variant | None) -> SweptBackend:
    changed = configuration.model_copy(
        update={
            section: getattr(configuration, section).model_copy(update=keys)
            for section, keys in (variant.settings if variant else {}).items()
        }
    )
    trainer: Trainer = experiment.build_trainer(changed, splits, name)
    return SweptBackend(trainer, splits, BackendRecord(name=name), variant.make if variant else plan_of)
