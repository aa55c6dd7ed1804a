"""Measures every backend at every batch size within a budget: interleaved rounds of steps, epochs, peak rates."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from .... import backends
from ....backends.errors import DeviceMemoryError
from ....dl.data import Splits
from ....dl.data.resident import Resident
from ....dl.experiment import build as experiment
from ....dl.experiment.sections import Configuration
from ....dl.step.plan import Plan
from ....dl.step.plans import plan_of
from ....dl.training.trainer import Trainer
from ...peers.worker import fall_asleep
from ..analysis.disturbed import mark
from ..analysis.roofline import time_bounds
from ..points import Point
from ..records import BackendRecord, Document
from . import peak_rates
from .disturbance import DisturbanceWatch, ReferenceWork
from .steps import TimedEpochs, TimedSteps

ROUNDS, FEWEST = 15, 3  # at most, and at the least where the budget allows
VISIT = 0.1  # seconds of a round's steps at one batch size, at most
MORE, PAUSE = 4, 0.3  # repetitions of disturbed points, and seconds to wait before each
STABLE, WARM_UP = 0.05, 0.3  # relative difference of two blocks that counts as stable, and maximum seconds of warm-up
EPOCHS = 3  # of a batch size
LONGEST, GUESSED = 1 / 40, 1 / 4  # shares of the budget: the longest step, as measured and as guessed
FULL = (DeviceMemoryError, MemoryError)  # raised if a batch does not fit
PARTS = {"products": (64, 256, 1024, 4096)}  # batch sizes at which products are timed, besides the largest

ProgressCallback = Callable[[str], None]
"""Progress callback."""


class TooLong(Exception):
    """A step takes too long for the budget. Never leaves this file."""


class Stopped(Exception):
    """Ctrl-C was pressed between two measurements. Never leaves this package."""


@dataclass
class Budget:
    """Seconds that may be spent, and whether Ctrl-C was pressed."""

    seconds: float
    progress: ProgressCallback = lambda text: None
    start: float = field(default_factory=time.perf_counter)
    stopped: bool = False

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self.start

    def left(self, share: float = 1.0) -> float:
        """Seconds left of this share of the budget; negative if it is used up."""
        return share * self.seconds - self.spent

    def note(self, text: str) -> None:
        """Reports the next activity. Ctrl-C takes effect here."""
        if self.stopped:
            raise Stopped
        self.progress(text)


class SweptBackend:
    """One backend with its plans and timed epochs by batch size."""

    def __init__(
        self, trainer: Trainer, splits: Splits, record: BackendRecord, make: Callable[..., Plan] = plan_of
    ) -> None:
        self.trainer, self.splits, self.record, self.make = trainer, splits, record, make
        self.data = Resident(trainer.backend, splits.train)
        self.steps: dict[int, TimedSteps] = {}
        self.count: dict[int, int] = {}
        self.epochs: dict[int, TimedEpochs] = {}

    def prepare(self, batch: int, visit: float, longest: float = math.inf) -> float:
        """Binds the plan, and warms up until two blocks of steps take the same time; returns seconds per step.

        Raises
        ------
        TooLong
            The shorter of two steps took more than `longest` seconds.
        """
        steps = TimedSteps(self.trainer, self.data, batch, self.make)
        self.record.loop = steps.plan.kind
        steps.timed(1)  # compiles
        seconds = steps.timed(1)
        if seconds > longest and (seconds := min(seconds, steps.timed(1))) > longest:
            raise TooLong(f"a step of {seconds:.2g} s is too long for --budget")
        count, deadline = 1, time.perf_counter() + WARM_UP
        while time.perf_counter() < deadline:
            count = max(1, min(4 * count, round(visit / seconds)))
            before, seconds = seconds, steps.timed(count)
            if count > 1 and abs(seconds / before - 1) < STABLE:
                break
        self.steps[batch], self.count[batch] = steps, max(1, round(visit / seconds))
        return seconds

    def visit(self, point: Point, reference: ReferenceWork, visit: float) -> None:
        """Measures another round of a point. If disturbed steps made its rounds too short, the next has more steps."""
        steps, count = self.steps[point.batch], self.count[point.batch]
        short_handed = steps.short_handed
        watch = DisturbanceWatch(reference)
        seconds = steps.timed(count)
        disturbance = watch.stop()
        disturbance.waited += short_handed or steps.short_handed
        point.add(seconds, disturbance)
        self.count[point.batch] = max(count, round(visit / seconds))

    def leave(self, batch: int, error: Exception) -> None:
        """Ends the sweep before a batch size that does not fit; smaller ones are kept."""
        self.record.limit = f"batch {batch:,} does not fit: {str(error) or 'out of memory'}"
        for larger in [known for known in self.steps if known >= batch]:
            del self.steps[larger], self.count[larger]
            self.epochs.pop(larger, None)

    def measure_peak_rates(self) -> None:
        """Measures the peak rates; keeps the better of the old and the new."""
        largest = max(self.steps)
        chosen = [batch for batch in self.steps if batch in PARTS["products"] or batch == largest]
        plans = {batch: self.steps[batch].plan for batch in chosen}
        for batch in plans:
            self.steps[batch].reset()
        size = max(cost.bytes for cost in plans[largest].costs(largest))
        found = peak_rates.measure(plans, size)
        known = self.record.peak_rates
        self.record.peak_rates = peak_rates.merged(known, found) if known.streams else found

    def explain(self, point: Point, budget: float) -> None:
        """Computes the time bounds of a point; measures each operation if steps run operation by operation."""
        steps = self.steps[point.batch]
        point.time_bounds = time_bounds(steps.plan.costs(point.batch), self.record.peak_rates)
        point.memory_bytes = steps.plan.bytes
        if self.record.loop == "graph" and point.step_seconds < budget:
            tries = [steps.operations() for _ in range(5 if point.step_seconds < budget / 5 else 1)]
            for time_bound, seconds in zip(point.time_bounds, zip(*tries, strict=True), strict=True):
                time_bound.seconds = sorted(seconds)[len(seconds) // 2]


def extrapolated(known: Sequence[tuple[int, float]], batch: int) -> float:
    """Seconds of a step at `batch`, on the line through the last two pairs of a batch size and its seconds."""
    (b1, t1), (b2, t2) = known[-2:]
    return t2 + (batch - b2) * max(0.0, t2 - t1) / (b2 - b1)


class Sweep:
    """Fills a document."""

    def __init__(
        self, document: Document, configuration: Configuration, splits: Splits, names: Sequence[str], budget: Budget
    ) -> None:
        self.document, self.budget, self.reference = document, budget, ReferenceWork()
        self.crew: list[SweptBackend] = []
        for name in names:
            status = backends.available()[name]
            if not any(record.name == name for record in document.backends):
                document.backends.append(BackendRecord(name=name, device=status.device, threads=dict(status.threads)))
            trainer = experiment.build_trainer(configuration, splits, name)
            self.crew.append(SweptBackend(trainer, splits, document.backend(name)))

    def run(self, reserve: float = 0.0) -> None:
        """Measures until `reserve` of the budget is left.

        Raises
        ------
        Stopped
            By Ctrl-C; what was measured is in the document.
        """
        share = 1 - reserve
        batches = self.document.asked
        self.visit = min(VISIT, max(0.005, self.budget.left(share) / (2 * ROUNDS * len(batches) * len(self.crew))))
        try:
            for swept in self.crew:
                self._prepare(swept, batches)
            self._peak_rates()
            for turn in range(ROUNDS):
                if turn >= FEWEST and self.budget.left(share) < self._expected():
                    break
                self._round(turn, share)
            self._repeat()
            self._peak_rates()
        finally:
            mark(self.document)
            self._explain()

    def _prepare(self, swept: SweptBackend, batches: Sequence[int]) -> None:
        record, known = swept.record, [(0, 0.0)]  # batch sizes and seconds of a step
        record.limit = ""
        for batch in batches:
            self.budget.note(f"{record.name}: warming up at batch {batch:,}")
            expected = self._expected_step(swept, known, batch)
            try:
                if expected > self.budget.seconds * GUESSED:
                    raise TooLong(f"a step of about {expected:.2g} s is too long for --budget")
                longest = self.budget.seconds * LONGEST  # a step that seems to take longer is measured
                known.append((batch, swept.prepare(batch, self.visit, longest if expected > longest else math.inf)))
            except TooLong as error:
                record.limit = f"batch {batch:,} was skipped: {error}"
                break
            except FULL as error:
                swept.leave(batch, error)
                break
            self.point(record.name, batch)
        fall_asleep()

    def _expected_step(self, swept: SweptBackend, known: list[tuple[int, float]], batch: int) -> float:
        """Expected seconds of a step: as measured before, or on the line through the two batch sizes before it."""
        if (point := self.document.find(swept.record.name, batch)) and point.rounds:
            return point.step_seconds
        if len(known) < 3:
            return 0.0
        if extrapolated(known, batch) > self.budget.seconds * GUESSED:
            # Other programs may have slowed one of the two, and the line carries that far.
            for at in (-2, -1):
                size, seconds = known[at]
                known[at] = size, min(seconds, swept.steps[size].timed(swept.count[size]))
        return extrapolated(known, batch)

    def _peak_rates(self) -> None:
        for swept in self.crew:
            if swept.steps:
                self.budget.note(f"{swept.record.name}: measuring its peak rates")
                with suppress(*FULL):  # the time bounds are then missing, or use the earlier peak rates
                    swept.measure_peak_rates()
                fall_asleep()

    def _round(self, turn: int, share: float) -> None:
        """One round of each backend at each batch size; waits in between until thread pools stop spinning."""
        shifted = self.crew[turn % len(self.crew) :] + self.crew[: turn % len(self.crew)]
        for swept in shifted:
            name = swept.record.name
            for batch in list(swept.steps):
                self.budget.note(f"{name}, batch {batch:,}: round {turn + 1}")
                point = self.point(name, batch)
                if not self._visit(swept, point):
                    break
                if turn == 0 or (turn < EPOCHS and self.budget.left(share) > 0):
                    self._epoch(swept, point)
            fall_asleep()

    def _repeat(self) -> None:
        """Repeats disturbed points after a pause, as long as this helps and there is time."""
        deadline, undisturbed = time.perf_counter() + max(1.5, 0.1 * self.budget.seconds), -1
        for _ in range(MORE):
            mark(self.document)
            before, undisturbed = undisturbed, sum(len(point.undisturbed) for point in self.document.benchmarks)
            lacking = [(one, point) for one in self.crew for point in self._points(one) if point.unsure]
            if not lacking or undisturbed == before or time.perf_counter() > deadline:
                return
            self.budget.note("waiting for a quieter moment")
            time.sleep(PAUSE)
            for swept, point in lacking:
                if point.batch in swept.steps and time.perf_counter() < deadline:
                    self.budget.note(f"{swept.record.name}, batch {point.batch:,}: once more")
                    self._visit(swept, point)
            fall_asleep()

    def _visit(self, swept: SweptBackend, point: Point) -> bool:
        """Measures another round of a point; returns False if it no longer fits."""
        try:
            swept.visit(point, self.reference, self.visit)
        except FULL as error:
            swept.leave(point.batch, error)
            return False
        return True

    def _points(self, swept: SweptBackend) -> list[Point]:
        """The measured points for which there are plans."""
        return [point for point in self.document.of(swept.record.name) if point.batch in swept.steps]

    def _epoch(self, swept: SweptBackend, point: Point) -> None:
        rows = self.document.task.rows
        expected = rows / point.batch * point.step_seconds
        if point.batch > rows or expected > max(0.1, self.budget.seconds / 200):
            return
        swept.steps[point.batch].reset()
        with suppress(*FULL):  # no epoch is timed there
            if point.batch not in swept.epochs:
                epochs = TimedEpochs(swept.trainer, swept.splits.train, point.batch)
                epochs.timed()
                swept.epochs[point.batch] = epochs
            seconds = swept.epochs[point.batch].timed()
            point.epochs += [seconds] if seconds else []

    def _expected(self) -> float:
        """Expected seconds of another round and of the work after it."""
        return 2.5 + sum(
            swept.count[batch] * self.point(swept.record.name, batch).step_seconds
            for swept in self.crew
            for batch in swept.steps
        )

    def _explain(self) -> None:
        for swept in self.crew:
            for point in self._points(swept):
                if swept.record.peak_rates.streams:
                    with suppress(*FULL):
                        swept.explain(point, self.budget.seconds / 200)

    def point(self, backend: str, batch: int) -> Point:
        """The record of a backend at a batch size; creates it if there is none."""
        if not (point := self.document.find(backend, batch)):
            self.document.benchmarks.append(point := Point(backend=backend, batch=batch))
        return point
