"""Part 5: which batch size? `gearshift bench` on this device, with its noise scale and the proof of cause."""

from __future__ import annotations

import gc
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backends import Backend
from ...dl.data import Dataset, Splits
from ..peers.networks import parse
from .report import NotRun, ProofCheck, ProofReport
from .scale import Scale

if TYPE_CHECKING:
    from ...dl.experiment.sections import Configuration
    from ..batch.measure.sweep import Budget
    from ..batch.records import Document

LEFT = 1 << 31  # bytes that are left free where memory is to run out, on a device that has as much
LONGEST = 2e12  # floating-point operations of a step that is swept
NOISE = 0.2  # of a sweep's seconds


def run(report: ProofReport, backend: Backend, scale: Scale) -> None:
    """All checks of the part; writes ``bench-….json`` for `gearshift bench --from`, and a picture of it."""
    for text in scale.swept:
        made: list[Sweeping] = []
        with report.check(f"sweep: {text}", longest=300) as check:
            missing = [name for name in ("pydantic", "tomli_w") if find_spec(name) is None]
            if missing:
                raise NotRun(f"{' and '.join(missing)} are not installed: pip install {' '.join(missing)}")
            made.append(Sweeping(backend, scale, text))
            made[0].run(check, report.folder, must_hold=scale.rounds > 1)
        if made:
            with report.check(f"proof of cause: {text}", longest=240) as check:
                made[0].prove(check, report.folder)
            with report.check(f"picture: {text}"):
                made[0].picture(report.folder)
    if find_spec("pydantic"):
        with report.check("a sweep ends where memory does") as check:
            exhausted(check, backend, scale)


class Sweeping:
    """The sweep of one network on rows that a random layer has labelled."""

    def __init__(self, backend: Backend, scale: Scale, text: str, rows: int | None = None) -> None:
        from ...dl.experiment import build as experiment
        from ...dl.experiment.config import parse as configured
        from ..batch.measure.sweep import Budget
        from ..batch.measure.task import machine, task_of
        from ..batch.records import Document

        self.text, self.name = text, backend.name
        network = parse(text)
        settings = [f"model.hidden={list(network.widths[1:-1])}", "model.dropout=0.0", "data.standardize=false"]
        self.configuration: Configuration = configured({}, settings)
        self.splits = taught(network.widths, rows or scale.rows)
        self.trainer = experiment.build_trainer(self.configuration, self.splits, backend.name)
        each = 6 * sum(i * o for i, o in network.shapes)
        self.document: Document = Document(
            machine=machine(),
            task=task_of(self.configuration, self.splits, self.trainer),
            asked=[batch for batch in scale.batch_sizes if batch * each < LONGEST],
        )
        self.budget: Budget = Budget(scale.sweep)

    def run(self, check: ProofCheck, folder: Path, *, must_hold: bool) -> None:
        """Noise scale, sweep, analysis."""
        from ..batch.analysis.analyse import analyse
        from ..batch.measure import noise_run

        document, train = self.document, self.splits.train
        seconds = NOISE * self.budget.seconds
        batch = self.configuration.train.batch_size
        document.noise = noise_run.measure(self.trainer, train, batch, seconds, must_learn=must_hold)
        self.sweep(self.document.asked)
        self.write(folder)
        found = analyse(document)
        check["says"] = " ".join(found.summary)
        check["limit"] = document.backend(self.name).limit
        for point in document.of(self.name):
            line = f"{1e6 * point.step_seconds:.4g} us, limited by {point.limit}, {point.share or 0:.0%} explained"
            check[f"batch {point.batch}"] = line
        faults = [f"batch {point.batch}: {point.fault}" for point in document.of(self.name) if point.fault]
        check.require(not faults or not must_hold, "; ".join(faults))

    def sweep(self, batches: list[int]) -> None:
        """Measures at these batch sizes."""
        from ..batch.measure.sweep import Sweep

        self.document.asked = batches
        Sweep(self.document, self.configuration, self.splits, [self.name], self.budget).run()
        gc.collect()

    def prove(self, check: ProofCheck, folder: Path) -> None:
        """One thing changed at a time: replay against launches, precisions."""
        from ..batch.measure.proof import prove

        if all(point.fault for point in self.document.of(self.name)):
            raise NotRun("the sweep has no point without a fault")
        prove(self.document, self.configuration, self.splits, self.name, self.budget)
        self.write(folder)
        for one in self.document.proofs:
            told = f"{one.measured:.2f}, predicted {one.low:.2f} to {one.high:.2f}"
            check[f"{one.change} at batch {one.batch}"] = told + (f" ({one.fault})" if one.fault else "")
        check.require(bool(self.document.proofs), "no change could be measured")

    def picture(self, folder: Path) -> None:
        """The four panels of `gearshift bench`."""
        if find_spec("matplotlib") is None:
            raise NotRun("Matplotlib is not installed")
        from ..batch.show.plots import save

        save(self.document, folder / f"bench-{self.text}.png")

    def write(self, folder: Path) -> None:
        """The file that `gearshift bench --from` shows."""
        from ..batch import files

        files.write(self.document, folder / f"bench-{self.text}.json")


def exhausted(check: ProofCheck, backend: Backend, scale: Scale) -> None:
    """With next to no memory left: what fits is measured, and what does not is named."""
    sweeping = Sweeping(backend, scale, scale.swept[0], rows=1024)
    backend.release()
    free, _ = backend.memory()
    left = min(LEFT, free // 2)
    taken = backend.zeros(free - left, np.uint8)
    try:
        row = 4 * sum(parse(scale.swept[0]).widths)
        sweeping.budget.seconds = 8.0 if scale.rounds > 1 else 0.5
        sweeping.sweep([8, left // row])
    finally:
        del taken
        backend.release()
    document = sweeping.document
    limit = document.backend(backend.name).limit
    check["limit"] = limit
    check["batches measured"] = str([point.batch for point in document.benchmarks])
    check.require("does not fit" in limit, f"it ended otherwise: {limit or 'everything fitted'}")
    check.require([point.batch for point in document.benchmarks] == [8], "the batch that fits was not measured")


def taught(widths: tuple[int, ...], rows: int) -> Any:
    """Random rows, and as labels the largest output of a random layer."""
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, widths[0]), dtype=np.float32)
    y = (x @ random.standard_normal((widths[0], widths[-1]), dtype=np.float32)).argmax(axis=1)
    return Splits(Dataset(x, y), None, None, name="rows made up", classes=np.arange(widths[-1]))
