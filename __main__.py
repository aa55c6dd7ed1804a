"""The command line. Results go to standard output, everything else to standard error."""

from __future__ import annotations

import errno
import json
import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__
from .backends.errors import ConfigurationError, DataError, GearshiftError, UserError

if TYPE_CHECKING:
    from .dl.config import Configuration
    from .dl.run import RunWriter
    from .dl.trainer import Trainer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Trains neural networks on NumPy, Numba or CuPy, chosen by configuration.",
)
MISTAKE, INTERRUPTED, TERMINATED = 2, 130, 143

Settings = Annotated[list[str] | None, typer.Option("--set", help="A key of the configuration, as optimizer.lr=3e-4.")]
BackendName = Annotated[str | None, typer.Option("--backend", help="auto, numpy, numba or cupy.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    """Options before the command."""
    if version:
        print(f"gearshift {__version__}")
        raise typer.Exit


@app.command()
def train(
    config: Annotated[Path | None, typer.Argument(help="A TOML file; without, the digits with defaults.")] = None,
    settings: Settings = None,
    backend: BackendName = None,
    run: Annotated[Path | None, typer.Option("--run", help="Directory of the run.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's checkpoint.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: Json = False,
) -> None:
    """Trains a network, and evaluates its best weights on the test split."""
    from . import backends
    from .dl import experiment
    from .dl.config import write
    from .dl.run import RunWriter

    path = run or Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    configuration = _configuration(config, settings or [], path, resume)
    splits, trainer = experiment.build(configuration, backend)
    say(backends.explain(trainer.backend))
    writer = RunWriter(path, configuration.checkpoint.every_seconds, configuration.train.monitor)
    with writer.opened():
        if writer.begin(write(configuration), trainer, resume=resume):
            say(f"resuming at epoch {trainer.epoch + 1}, step {trainer.step}")
        elif resume:
            say("no checkpoint yet: starting afresh")
        with _terminable(trainer):
            if configuration.autoencoder.kind == "stacked" and not trainer.step:
                _pretrain(trainer, splits, configuration)
            code = _fit(trainer, splits, configuration, writer, quiet)
            say(writer.plot(trainer))
    if configuration.autoencoder.kind != "none" and not code:
        from .dl.pictures import draw

        for line in draw(trainer, configuration, splits, path):
            say(line)
    if code:
        say(f"stopped at step {trainer.step}; go on with: gearshift train --resume --run {path}")
        raise typer.Exit(code)
    result = {"run": str(path), "backend": trainer.backend.name, "epochs": trainer.epoch}
    if splits.test is not None:
        result["test"] = _predictor(path, trainer.backend.name).evaluate(splits.test)
    show(result, as_json)
    say(f"next: gearshift evaluate {path}   gearshift predict {path} --input X.npy --output Y.npy")


@app.command()
def search(
    config: Annotated[Path, typer.Argument(help="A TOML file with a [search] section.")],
    settings: Settings = None,
    backend: BackendName = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the scores against each parameter.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write every candidate's scores as .json.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: Json = False,
) -> None:
    """Searches for an estimator's parameters on a grid or at random, by cross-validation."""
    from .dl import search as searching
    from .dl.config import SearchConfiguration, read_as
    from .dl.progress import candidates
    from .dl.storage import write_atomically

    configuration = read_as(SearchConfiguration, config, settings or [])
    plan = searching.prepare(configuration, backend)
    say(f"{len(plan.candidates)} candidates, {configuration.search.folds} folds each, on {plan.estimator}")
    with candidates(len(plan.candidates), quiet) as advance:
        result = plan.run(advance)
    if plot:
        from .dl.plots import search_scores

        search_scores(result, plot)
        say(f"drawn: {plot}")
    if out:
        write_atomically(out, json.dumps(result.as_json(), indent=1).encode())
        say(f"written: {out}")
    if as_json:
        print(json.dumps({"best": result.best, "score": result.rows[0].mean, "test": result.test}))
    else:
        result.show()


@app.command()
def lr(
    config: Annotated[Path | None, typer.Argument(help="A TOML file; without, the digits with defaults.")] = None,
    settings: Settings = None,
    backend: BackendName = None,
    rates: Annotated[str, typer.Option("--rates", help="Learning rates, as 1e-3,1e-2.")] = "",
    iterations: Annotated[int, typer.Option("--iterations", help="Steps of each trial.")] = 100,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the losses against the rates.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write every trial's curve as .json.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: Json = False,
) -> None:
    """Tries several learning rates for some steps each, and names the best."""
    from .dl import experiment, learning_rates
    from .dl.config import parse, read
    from .dl.progress import candidates
    from .dl.storage import write_atomically

    try:
        tried = [float(rate) for rate in rates.split(",")] if rates else list(learning_rates.RATES)
    except ValueError:
        raise ConfigurationError(f"--rates is {rates!r}; expected numbers with commas between, as 1e-3,1e-2") from None
    configuration = read(config, settings or []) if config else parse({}, settings or [])
    splits, trainer = experiment.build(configuration, backend)

    def make(rate: float) -> Trainer:
        optimizer = configuration.optimizer.model_copy(update={"lr": rate})
        changed = configuration.model_copy(update={"optimizer": optimizer})
        return experiment.build_trainer(changed, splits, trainer.backend.name)

    say(f"{len(tried)} learning rates, {iterations} steps each, {type(trainer.optimizer).__name__}")
    with candidates(len(tried), quiet) as advance:
        result = learning_rates.learning_rate_trials(
            make,
            splits.train,
            rates=tried,
            iterations=iterations,
            batch_size=configuration.train.batch_size,
            advance=advance,
        )
    if plot:
        result.plot(plot)
        say(f"drawn: {plot}")
    if out:
        write_atomically(out, json.dumps(result.as_json(), indent=1).encode())
        say(f"written: {out}")
    if not as_json:
        result.show()
    show({"optimizer.lr": result.best}, as_json)
    say(f"next: gearshift train {f'{config} ' if config else ''}--set optimizer.lr={result.best:g}")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Directory of a run.")],
    backend: BackendName = None,
    report: Annotated[bool, typer.Option("--report", help="Precision and recall too.")] = False,
    as_json: Json = False,
) -> None:
    """Evaluates a run's best weights, else its last ones, on the test split."""
    from .dl import experiment
    from .dl.config import parse
    from .dl.run import Run

    configuration = parse(Run(run).config)
    splits = experiment.load(configuration)
    if splits.test is None:
        raise DataError(f"{run} was trained without a test split")
    trainer = _predictor(run, backend)
    show({"run": str(run), "test": trainer.evaluate(splits.test, report=report)}, as_json)
    if report and not as_json:
        print(trainer.report(splits.test))


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Directory of a run.")],
    source: Annotated[Path, typer.Option("--input", help="Rows, as .npy.")],
    output: Annotated[Path, typer.Option("--output", help="Where the answers go, as .npy.")],
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Write probabilities, not labels.")] = False,
    backend: BackendName = None,
) -> None:
    """Writes a run's answers for rows of raw features: class names as they were in the data, or values."""
    import io

    import numpy as np

    from .dl.data.npy import read_npy
    from .dl.storage import write_atomically

    trainer = _predictor(run, backend)
    x = read_npy(source, mmap=True)
    answers = trainer.predict_proba(x) if probabilities else trainer.predict(x)
    if isinstance(answers, dict):  # side by side, as the heads' targets are
        answers = np.column_stack(list(answers.values()))
    elif trainer.model.classes is not None and not probabilities:
        answers = np.array(trainer.model.classes)[answers]
    buffer = io.BytesIO()
    np.save(buffer, answers, allow_pickle=False)
    write_atomically(output, buffer.getvalue())
    say(f"{len(answers)} rows written to {output}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Says for each backend whether it runs here, on what, and what is missing."""
    from dataclasses import asdict

    from . import backends

    statuses = backends.available()
    if as_json:
        print(json.dumps({name: {**asdict(status)} for name, status in statuses.items()}, default=dict))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"gearshift {__version__}, Python {sys.version.split()[0]}")
    for column in ("backend", "runs", "device", "versions", "memory", "threads"):
        table.add_column(column, overflow="fold")
    for status in statuses.values():
        memory = status.memory and f"{status.memory[0] / 2**30:.1f} of {status.memory[1] / 2**30:.1f} GiB free"
        table.add_row(
            status.name,
            "yes" if status.runs else "no",
            status.device or status.reason,
            _pairs(status.versions),
            memory or "",
            _pairs(status.threads),
        )
    console = Console()
    console.print(table)
    for status in statuses.values():
        if not status.runs:
            console.print(
                f"{status.name}: {status.reason}. {status.remedy}", markup=False, highlight=False, soft_wrap=True
            )
    try:
        console.print(f"taken by default: {backends.get().name}", highlight=False)
    except UserError as error:
        console.print(f"taken by default: none, {error}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def bench(
    config: Annotated[Path | None, typer.Argument(help="A TOML file; without, the digits with defaults.")] = None,
    settings: Settings = None,
    batch_sizes: Annotated[str | None, typer.Option("--batch-sizes", help="As 1:65536, doublings, or 1,8,64.")] = None,
    names: Annotated[str | None, typer.Option("--backends", help="As numpy,numba; all by default.")] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="As 60s or 5m; 60s by default.")] = None,
    noise: Annotated[bool, typer.Option("--noise/--no-noise", help="Measure the gradient noise scale.")] = True,
    validate: Annotated[bool, typer.Option("--validate", help="Train to one loss, to check the advice.")] = False,
    prove: Annotated[bool, typer.Option("--prove", help="Change one thing at a time, to check the bounds.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Four batch sizes, in seconds.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what --out holds.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write everything measured as .json.")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="Show this file; measure nothing.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw four pictures, .svg or .png.")] = None,
    page: Annotated[Path | None, typer.Option("--html", help="Write one page with interactive charts.")] = None,
) -> None:
    """Times training at every batch size: where the device is underused, why, and which batch to take."""
    from .bench.batch import command, records
    from .dl.config import parse, read, rooted

    asked = command.request(batch_sizes, names, budget, noise, quick, out, resume, plot, validate, page, prove)
    if source is not None:
        command.report(records.read(source), asked)
        return
    configuration = rooted(read(config, settings or []) if config else parse({}, settings or []))
    document, interrupted = command.run(configuration, asked)
    command.report(document, asked)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="A file of `gearshift bench --out`.")],
    after: Annotated[Path, typer.Argument(help="A later one.")],
    as_json: Json = False,
) -> None:
    """Says what got faster or slower from one `gearshift bench --out` to another, beyond noise."""
    from dataclasses import asdict

    from rich.console import Console

    from .bench.batch import records
    from .bench.batch.compare import compare as compared
    from .bench.batch.compare_report import show as show_table

    found = compared(records.read(before), records.read(after))
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        show_table(found, Console(width=None if sys.stdout.isatty() else 120))


@app.command()
def peers(
    networks: Annotated[str | None, typer.Option("--networks", help="As 784-128-10,autoencoder.")] = None,
    batch_sizes: Annotated[str | None, typer.Option("--batch-sizes", help="As 1,128.")] = None,
    contenders: Annotated[str | None, typer.Option("--contenders", help="As numba,torch,jax.")] = None,
    rounds: Annotated[int | None, typer.Option("--rounds", help="Rounds; by default 7, of epochs 3.")] = None,
    measure: Annotated[str, typer.Option("--measure", help="step, epoch or both.")] = "both",
    quick: Annotated[bool, typer.Option("--quick", help="A few points, in a minute.")] = False,
    source: Annotated[Path | None, typer.Option("--from", help="Show this file; measure nothing.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write everything measured as .json.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw a picture, .svg or .png.")] = None,
) -> None:
    """Compares training on the CPU with PyTorch, JAX and scikit-learn, as far as they are installed."""
    from .bench.peers import command, results

    asked = command.request(networks, batch_sizes, contenders, rounds, measure, quick)
    command.check_files(out, plot)
    measurement, interrupted = (results.read(source), False) if source else command.run(asked)
    command.report(measurement, out, plot)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
def init(path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("gearshift.toml")) -> None:
    """Writes a complete, commented configuration."""
    from .dl.sample import SAMPLE

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(SAMPLE)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists already and is left alone; give another name") from None
    say(f"written: {path}; next: gearshift train {path}")


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; a user's mistake ends in one line and exit code 2, never in a traceback."""
    logger = logging.getLogger(__package__)
    logger.setLevel(logging.INFO)
    logger.addHandler(_LOG)
    try:
        app(args=arguments, standalone_mode=True)
    except GearshiftError as error:
        sys.exit(_fault(error, MISTAKE if isinstance(error, UserError) else 1))
    except OSError as error:
        mistake = error.errno in (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EROFS)
        sys.exit(_fault(error, MISTAKE if mistake else 1))
    except MemoryError as error:
        sys.exit(_fault(error, 1))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def say(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr, flush=True)


class _Log(logging.Handler):
    """Says what the library logs."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


_LOG = _Log()


def show(result: dict[str, Any], as_json: bool) -> None:
    """The result of a command."""
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        text = "  ".join(f"{key} {number:.4f}" for key, number in value.items()) if isinstance(value, dict) else value
        print(f"{name}: {text}")


def _fault(error: BaseException, code: int) -> int:
    say(f"error: {error or type(error).__name__}")
    return code


def _pairs(pairs: Any) -> str:
    return "\n".join(f"{name} {value}" for name, value in pairs.items())


def _configuration(path: Path | None, settings: list[str], run: Path, resume: bool) -> Configuration:
    """The configuration of a run: its own where it is resumed, which another one may not contradict."""
    from .dl.config import parse, read, rooted
    from .dl.run import CONFIG, LAST

    begun = (run / LAST).exists()
    if begun and not resume:
        raise ConfigurationError(f"{run} holds a run already; go on with --resume, or give another --run")
    if not begun:
        return rooted(read(path, settings) if path else parse({}, settings))
    before = read(run / CONFIG)
    wanted = rooted(read(path or run / CONFIG, settings))
    old, new = before.model_dump(), wanted.model_dump()
    changed = [
        f"{section}.{key}"
        for section in old
        for key in {**old[section], **new[section]}
        if old[section].get(key) != new[section].get(key)
    ]
    refused = [key for key in changed if key != "train.epochs" and not key.startswith(("backend.", "checkpoint."))]
    if refused:
        raise ConfigurationError(
            f"{run} was begun with another configuration: {', '.join(refused)} differ; only train.epochs, the backend "
            "and checkpoint may change on --resume"
        )
    return wanted


def _fit(trainer: Trainer, splits: Any, configuration: Configuration, writer: RunWriter, quiet: bool) -> int:
    """Trains to the configured number of epochs; the exit code of what ended it early, else 0."""
    from .dl.experiment import build_callbacks

    section = configuration.train
    trainer.early_stopping.patience = section.patience or None
    over = trainer.epoch >= section.epochs or trainer.early_stopping.exhausted(trainer.epoch)
    over = over or bool(len(trainer.history) and trainer.history[-1]["loss"] <= section.loss_goal)
    try:
        if not over:
            trainer.fit(
                splits.train,
                validation=splits.validation,
                epochs=section.epochs - trainer.epoch,
                batch_size=section.batch_size,
                patience=section.patience or None,
                monitor=section.monitor,
                loss_goal=section.loss_goal or None,
                order=section.order,
                accumulate=section.accumulate,
                class_weight=None if section.class_weight == "none" else section.class_weight,
                callbacks=[*build_callbacks(configuration, splits), writer],
                verbose=not quiet,
            )
        return _saved(trainer, writer, TERMINATED) if trainer.stopped == "SIGTERM" else 0
    except KeyboardInterrupt:
        return _saved(trainer, writer, INTERRUPTED)


def _pretrain(trainer: Trainer, splits: Any, configuration: Configuration) -> None:
    """Trains the pairs of a stacked autoencoder's layers one after another."""
    from .dl.autoencoders import pretrain

    section = configuration.autoencoder
    losses = pretrain(trainer, splits.train, epochs=section.pretrain, batch_size=configuration.train.batch_size)
    for level, loss in enumerate(losses):
        say(f"layer {level + 1} of {len(losses)} by itself, {section.pretrain} epochs: loss {loss:.4f}")


@contextmanager
def _terminable(trainer: Trainer) -> Iterator[None]:
    """Turns SIGTERM, however often, into a stop at the next batch boundary."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: trainer.stop("SIGTERM"))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _saved(trainer: Trainer, writer: RunWriter, code: int) -> int:
    """Saves a run that was stopped inside an epoch; at the end of one it has been saved already."""
    if trainer.state.cursor:
        writer.save(trainer)
    return code


def _predictor(run: Path, backend: str | None) -> Trainer:
    """A trainer that holds a run's model and loss."""
    from .dl.optimizers import SGD
    from .dl.run import Run
    from .dl.trainer import Trainer

    found = Run(run)
    return Trainer(found.model, found.loss, SGD(), backend=backend)


if __name__ == "__main__":
    main()
