"""``gearshift bench``: checks the options, measures, and reports."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError
from ...dl.commands.console import check_files
from ...dl.experiment import build as experiment
from ...dl.experiment.sections import Configuration
from . import files
from .analysis.analyse import analyse
from .analysis.scaling import Link
from .analysis.trained import hyperbola
from .measure import critical_run, noise_run, separated
from .measure.proof import prove
from .measure.sweep import FULL, Budget, Stopped, Sweep
from .measure.task import check_configuration, machine, task_of
from .measure.validate import Validator
from .options import parse_backends, parse_seconds, parse_sizes, parse_workers
from .progress import interruptible, progress
from .records import Document, Task, Workers

SIZES, BUDGET = "1:65536", "60s"
QUICK_SIZES, QUICK_BUDGET = "1,8,64,512", "4s"
NOISE, TRAININGS = 0.15, 0.3  # maximum shares of the budget: noise scale, critical batch size


@dataclass(frozen=True)
class BenchRequest:
    """What to measure, and where to write it.

    Attributes
    ----------
    batches : batch sizes, ascending.
    names : available backends.
    seconds : the budget.
    """

    batches: list[int]
    names: list[str]
    seconds: float
    noise: bool = True
    out: Path | None = None
    resume: bool = False
    plot: Path | None = None
    validate: bool = False
    page: Path | None = None
    prove: bool = False
    workers: tuple[int, ...] = ()
    network: Link | None = None


def request(
    batch_sizes: str | None,
    names: str | None,
    budget: str | None,
    noise: bool = True,
    quick: bool = False,
    out: Path | None = None,
    resume: bool = False,
    plot: Path | None = None,
    validate: bool = False,
    page: Path | None = None,
    prove: bool = False,
    workers: str | None = None,
    network: str | None = None,
) -> BenchRequest:
    """The request for these options.

    Raises
    ------
    ConfigurationError
        An option is not valid.
    BackendUnavailable
        A requested backend is not available.
    """
    sizes = parse_sizes(batch_sizes or (QUICK_SIZES if quick else SIZES))
    seconds = parse_seconds(budget or (QUICK_BUDGET if quick else BUDGET))
    if resume and (out is None or not out.exists()):
        raise ConfigurationError("--resume continues the file of --out FILE" + (f"; there is no {out}" if out else ""))
    if validate and not noise:
        raise ConfigurationError("--validate compares with the noise scale, so it cannot be used with --no-noise")
    counts, known = parse_workers(workers, network, noise)
    check_files(out=out, plot=plot, html=page)
    return BenchRequest(
        sizes, parse_backends(names), seconds, noise, out, resume, plot, validate, page, prove, counts, known
    )


def run(configuration: Configuration, asked: BenchRequest) -> tuple[Document, bool]:
    """Measures; returns the document, and whether it was interrupted.

    The results are written to `asked.out` even after an error.

    Raises
    ------
    ConfigurationError
        The configuration's steps cannot be timed, or `asked.out` has the results of another configuration.
    """
    given, splits = configuration, experiment.load(configuration)
    configuration, splits = experiment.with_learned_targets(given, splits)
    first = experiment.build_trainer(configuration, splits, asked.names[0])
    check_configuration(configuration, first)
    document = _begun(given, asked, task_of(configuration, splits, first))
    del first
    with (
        progress(asked.seconds * (1 + asked.validate)) as bar,
        interruptible(Budget(asked.seconds, bar)) as budget,
    ):
        try:
            if asked.noise and document.noise is None:
                _measure_noise(document, configuration, splits, asked.names, budget)
            training = document.noise is not None and not (document.trainings and hyperbola(document.trainings))
            Sweep(document, configuration, splits, asked.names, budget).run(TRAININGS if training else 0.0)
            if training:
                _train(document, configuration, splits, budget)
            if asked.workers and (best := analyse(document).best):
                separated.measure(document, configuration, splits, best, (asked.workers, asked.network), budget)
            if asked.prove:
                prove(document, configuration, splits, analyse(document).best, budget)
            if asked.validate:
                _validate(document, configuration, splits, budget)
        except Stopped:
            pass
        finally:
            document.spent_seconds += budget.spent
            if asked.out is not None and any(point.rounds for point in document.benchmarks):
                files.write(document, asked.out)
        return document, budget.stopped


def ask_again(document: Document, asked: BenchRequest) -> None:
    """Asks a document for other numbers of devices, or another network, than those that it was measured for.

    Raises
    ------
    ConfigurationError
        Nothing is known of a network.
    """
    if not asked.workers:
        return
    known, network = document.workers, asked.network
    if known is None and network is None:
        raise ConfigurationError("--workers: the file has no measured network; give --network, as 25us,100Gbit")
    if known is None:
        size = document.task.parameters * np.dtype(document.task.dtype).itemsize
        best = analyse(document).best
        known = Workers(backend=best, workers=[1], bytes=size, latency=0, bytes_per_second=1, measured=False)
    given = {} if network is None else {"latency": network.latency, "bytes_per_second": network.rate, "measured": False}
    document.workers = known.model_copy(update={"workers": list(asked.workers), **given})


def _begun(configuration: Configuration, asked: BenchRequest, task: Task) -> Document:
    """A new document, or the one to continue."""
    described = configuration.model_dump(exclude={"backend", "checkpoint"})
    if not asked.resume:
        return Document(machine=machine(), task=task, configuration=described, asked=asked.batches)
    assert asked.out is not None
    document, here = files.read(asked.out), machine()
    if document.simulated or document.configuration != described:
        raise ConfigurationError(f"{asked.out} was measured with another configuration; give another --out")
    for name in ("processor", "versions"):
        if document.machine.get(name) != here[name]:
            raise ConfigurationError(
                f"{asked.out} was measured with {name} {document.machine.get(name)}, and here there is {here[name]}; "
                "give another --out"
            )
    document.asked = asked.batches
    return document


def _measure_noise(
    document: Document, configuration: Configuration, splits: Any, names: Sequence[str], budget: Budget
) -> None:
    name = next((name for name in ("cupy", "numba") if name in names), names[0])
    trainer = experiment.build_trainer(configuration, splits, name)
    seconds = NOISE * budget.seconds
    try:
        document.noise = noise_run.measure(trainer, splits.train, configuration.train.batch_size, seconds, budget.note)
        document.noise_absent = ""
    except ConfigurationError as error:
        document.noise_absent = str(error)
    except FULL as error:
        document.noise_absent = f"its samples do not fit into memory: {str(error) or 'out of memory'}"


def _train(document: Document, configuration: Configuration, splits: Any, budget: Budget) -> None:
    """Trains on the advised backend; for half the time if the sweep took too long."""
    given = analyse(document).advice
    if given:
        with suppress(ConfigurationError, *FULL):  # the advice then uses the noise scale alone
            most = TRAININGS * budget.seconds
            seconds = min(most, max(most / 2, budget.left()))
            critical_run.measure(document, configuration, splits, given[0], budget, seconds)


def _validate(document: Document, configuration: Configuration, splits: Any, budget: Budget) -> None:
    """Runs `--validate`, which takes as long as the budget again."""
    given = analyse(document).advice
    if not given:
        document.validation_absent = f"it needs the advice, and there is none: {document.noise_absent}"
        return
    if document.validation is not None and document.validation.backend != given[0].backend:
        document.validation = None  # it has the times of another backend
    document.validation_absent = ""
    budget.seconds += budget.spent
    try:
        Validator(document, configuration, splits, given[0], budget).run()
    except ConfigurationError as error:
        document.validation_absent = str(error)
    except FULL as error:
        document.validation_absent = f"it does not fit into memory: {str(error) or 'out of memory'}"


def report(document: Document, asked: BenchRequest, as_json: bool = False) -> None:
    """Prints the report, or all as JSON, and writes the requested files. The results come first: plots may fail."""
    from rich.console import Console

    from .show.report import show

    try:
        if asked.out is not None:
            files.write(document, asked.out)
    finally:
        if as_json:
            print(files.text(document))
        else:
            show(document, Console(width=None if sys.stdout.isatty() else 120))
    if asked.plot is not None:
        from .show.plots import save

        save(document, asked.plot)
    if asked.page is not None:
        from .show.page import save as save_page

        save_page(document, asked.page)
