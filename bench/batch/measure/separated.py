"""Times steps whose update waits until all gradients are known, as on several devices."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ....backends import Backend
from ....dl.data import Splits
from ....dl.data.resident import Resident
from ....dl.experiment import build as experiment
from ....dl.experiment.sections import Configuration
from ....dl.graph.graph import Graph
from ....dl.step.arena import Arena
from ....dl.step.plan import Plan
from ....dl.step.pooled_plan import PooledPlan
from ..analysis.scaling import Link
from ..records import Document, SeparatedStep, Workers
from . import network
from .steps import TimedSteps
from .sweep import FULL, Budget

POINTS = 5  # batch sizes
VISIT, ROUNDS = 0.1, 5  # seconds of a round


def measure(
    document: Document,
    configuration: Configuration,
    splits: Splits,
    name: str,
    asked: tuple[Sequence[int], Link | None],
    budget: Budget,
) -> None:
    """Fills the document's `workers` for the backend `name`: `asked` are numbers of devices, and a known network.

    Raises
    ------
    Stopped
        By Ctrl-C.
    ConfigurationError
        The network cannot be measured.
    """
    workers, given = asked
    trainer = experiment.build_trainer(configuration, splits, name)
    size = trainer.state.arena.size * trainer.state.arena.dtype.itemsize
    budget.note("measuring the all-reduce of two processes")
    found = given or network.measure(size)
    document.workers = Workers(
        backend=name,
        workers=list(workers),
        bytes=size,
        latency=found.latency,
        bytes_per_second=found.rate,
        measured=given is None,
    )
    if document.backend(name).loop != "compiled" or not trainer.backend.runs_tasks:
        return  # Python calls each operation, with one device, too
    data, points = Resident(trainer.backend, splits.train), document.of(name)
    chosen = dict.fromkeys(round(i * (len(points) - 1) / (POINTS - 1)) for i in range(POINTS))
    for batch in (points[place].batch for place in chosen):
        budget.note(f"{name}, batch {batch:,}: a step on several devices")
        with suppress(*FULL):
            steps = TimedSteps(trainer, data, batch, several)
            steps.timed(1)
            count = max(1, round(VISIT / max(steps.timed(1), 1e-9)))
            seconds = statistics.median(steps.timed(count) for _ in range(ROUNDS))
            document.workers.steps.append(SeparatedStep(batch=batch, seconds=seconds))


def several(graph: Graph, backend: Backend, arena: Arena, shared: Mapping[str, Any], capacity: int) -> Plan:
    """The plan of a step on several devices."""
    return PooledPlan(graph, backend, arena, shared, capacity)
