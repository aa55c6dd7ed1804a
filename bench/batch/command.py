"""``gearshift bench``: checks the options, measures, and reports."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import backends
from ...backends.errors import BackendUnavailable, ConfigurationError
from ...dl.commands.console import check_files
from ...dl.experiment import build as experiment
from ...dl.experiment.sections import Configuration
from ...dl.hints import hint
from . import files
from .analysis.trained import hyperbola
from .measure.sweep import FULL, Budget, Stopped, Sweep
from .measure.task import check_configuration, machine, task_of
from .records import Document, Task

SIZES, BUDGET = "1:65536", "60s"
QUICK_SIZES, QUICK_BUDGET = "1,8,64,512", "4s"
LARGEST = 1 << 22
NOISE, TRAININGS = 0.15, 0.3  # maximum shares of the budget: noise scale, critical batch size
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


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
    check_files(out=out, plot=plot, html=page)
    return BenchRequest(sizes, parse_backends(names), seconds, noise, out, resume, plot, validate, page, prove)


def parse_sizes(text: str) -> list[int]:
    """Batch sizes of ``"1:64"``, the powers of two times the first, or ``"1,8,100"``, or both with commas."""
    found: set[int] = set()
    for item in (part.strip() for part in text.split(",")):
        first, colon, last = item.partition(":")
        ends = [first, last] if colon else [first]
        if not all(end.isdecimal() and 0 < int(end) <= LARGEST for end in ends) or int(ends[-1]) < int(first):
            raise ConfigurationError(
                f"--batch-sizes {text!r}: {item!r} is not valid; expected integers from 1 to {LARGEST:,} such as "
                "1,8,64, or a range of powers of two such as 1:65536"
            )
        size = int(first)
        while size <= int(ends[-1]):
            found.add(size)
            size *= 2
    return sorted(found)


def parse_seconds(text: str) -> float:
    """Seconds of ``"90"``, ``"90s"``, ``"1.5m"`` or ``"1h"``."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "s")
    try:
        seconds = float(number) * UNITS[unit]
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86_400:
        raise ConfigurationError(f"--budget {text!r} is not valid; expected 1s to 24h, such as 60s or 5m")
    return seconds


def parse_backends(text: str | None) -> list[str]:
    """Backends by name, or all available ones."""
    statuses = backends.available()
    if text in (None, "all"):
        return [name for name, status in statuses.items() if status.runs]
    names = list(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        if name not in statuses:
            raise ConfigurationError(f"--backends: {name!r} is not known; {hint(name, ['all', *statuses])}")
        if not statuses[name].runs:
            remedy = f" To install what is missing: {statuses[name].remedy}" if statuses[name].remedy else ""
            raise BackendUnavailable(f"backend {name!r} cannot run here: {statuses[name].reason}.{remedy}")
    return names


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
        _progress(asked.seconds * (1 + asked.validate)) as progress,
        _interruptible(Budget(asked.seconds, progress)) as budget,
    ):
        try:
            if asked.noise and document.noise is None:
                _measure_noise(document, configuration, splits, asked.names, budget)
            training = document.noise is not None and not (document.trainings and hyperbola(document.trainings))
            Sweep(document, configuration, splits, asked.names, budget).run(TRAININGS if training else 0.0)
            if training:
                _train(document, configuration, splits, budget)
            if asked.prove:
                _prove(document, configuration, splits, budget)
            if asked.validate:
                _validate(document, configuration, splits, budget)
        except Stopped:
            pass
        finally:
            document.spent_seconds += budget.spent
            if asked.out is not None and any(point.rounds for point in document.benchmarks):
                files.write(document, asked.out)
        return document, budget.stopped


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
    from .measure import noise_run

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
    from .analysis.analyse import analyse
    from .measure import critical_run

    given = analyse(document).advice
    if given:
        with suppress(ConfigurationError, *FULL):  # the advice then uses the noise scale alone
            most = TRAININGS * budget.seconds
            seconds = min(most, max(most / 2, budget.left()))
            critical_run.measure(document, configuration, splits, given[0], budget, seconds)


def _prove(document: Document, configuration: Configuration, splits: Any, budget: Budget) -> None:
    """Runs `--prove` on the best backend."""
    from .analysis.analyse import analyse
    from .measure.proof import prove

    prove(document, configuration, splits, analyse(document).best, budget)


def _validate(document: Document, configuration: Configuration, splits: Any, budget: Budget) -> None:
    """Runs `--validate`, which takes as long as the budget again."""
    from .analysis.analyse import analyse
    from .measure.validate import Validator

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


@contextmanager
def _progress(seconds: float) -> Iterator[Any]:
    """A progress bar on standard error: the current activity, and the used part of the budget."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    start = time.perf_counter()
    with Progress(
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} s"),
        TextColumn("{task.description}"),
        console=Console(file=sys.stderr),
        transient=True,
        refresh_per_second=2,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("", total=seconds)
        yield lambda text: bar.update(task, description=text, completed=min(seconds, time.perf_counter() - start))


@contextmanager
def _interruptible(budget: Budget) -> Iterator[Budget]:
    """Lets Ctrl-C end the measuring between two measurements; pressed twice, it ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield budget
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: Any) -> None:
        if budget.stopped:
            signal.signal(signal.SIGINT, before)
            raise KeyboardInterrupt
        budget.stopped = True

    signal.signal(signal.SIGINT, stop)
    try:
        yield budget
    finally:
        signal.signal(signal.SIGINT, before)


def report(document: Document, asked: BenchRequest) -> None:
    """Prints the report and writes the requested files. The results come first, because plots may fail."""
    from rich.console import Console

    from .show.report import show

    try:
        if asked.out is not None:
            files.write(document, asked.out)
    finally:
        show(document, Console(width=None if sys.stdout.isatty() else 120))
    if asked.plot is not None:
        from .show.plots import save

        save(document, asked.plot)
    if asked.page is not None:
        from .show.page import save as save_page

        save_page(document, asked.page)
