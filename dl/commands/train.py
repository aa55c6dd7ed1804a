"""``gearshift train``."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from logging import WARNING
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...backends.errors import ConfigurationError, DataError
from ..streams import say
from ..training.interrupts import interrupts
from .console import (
    INTERRUPTED,
    TERMINATED,
    BackendName,
    ConfigFile,
    Json,
    Quiet,
    Settings,
    command,
    configuration_of,
    directory,
    show,
)
from .evaluate import measured, predictor
from .rows import rows_of

if TYPE_CHECKING:
    from ..data import Splits
    from ..experiment.run_writer import RunWriter
    from ..experiment.sections import Configuration
    from ..training.trainer import Trainer


def train(
    config: ConfigFile = None,
    settings: Settings = None,
    backend: BackendName = None,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="DIRECTORY", parser=directory, help="Directory of the run.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the run's checkpoint, if it has one.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Trains a network, and tests its best weights."""
    from ...backends.launch import ranks
    from ..experiment import build as experiment
    from ..training.interrupts import unswallowed

    if resume and run is None:
        raise ConfigurationError("--resume goes on with a run, and none is named; expected --run, as --run runs/first")
    with unswallowed():
        configuration = ranks().share(lambda: _configuration(config, settings or [], run, resume))
        splits, trainer = experiment.build(configuration, backend)
    carry_out(configuration, splits, trainer, run, backend, resume=resume, quiet=quiet, as_json=as_json)


def carry_out(
    configuration: Configuration,
    splits: Splits,
    trainer: Trainer,
    run: Path | None,
    backend: str | None,
    *,
    resume: bool = False,
    quiet: bool = False,
    as_json: bool = False,
) -> None:
    """Trains as configured, writes the run, and tests its best weights; `backend` is for the commands that it prints.

    A trainer that has taken steps begins with its weights.
    """
    from ...backends.launch import ranks
    from ..experiment.run_files import fresh
    from ..experiment.run_writer import RunWriter
    from ..experiment.schedule import beyond_schedule, settled
    from ..training.joining import synchronize
    from ..training.progress import introduce

    together, configuration, begun = ranks(), settled(configuration, splits), trainer.step > 0
    introduce(trainer)
    say(splits.summary())
    if splits.preparation is not None:
        say(str(splits.preparation))
    if configuration.train.batch_size > len(splits.train):
        say(f"train.batch_size is {configuration.train.batch_size}: all {len(splits.train)} rows are taken at once")
    if remark := beyond_schedule(configuration, splits):
        say(remark, WARNING)
    path = together.share(lambda: run or fresh(Path("runs")))
    more = f"go on with: {_launch(together.size)}{command('train', '--resume', '--run', path, backend=backend)}"
    together.remedy = more
    writer = None
    if together.rank == 0:  # which alone writes
        section = configuration.train
        writer = RunWriter(path, configuration.checkpoint.every_seconds, section.monitor, section.metrics)
    with writer.opened() if writer else nullcontext():
        if writer:
            splits = _begin(writer, trainer, splits, configuration, resume)
            if begun:
                writer.save(trainer)  # else a run that is killed in its first epoch would begin with other weights
        if together.size > 1:
            splits = splits.matched(*together.share(lambda: (splits.train.feature_names, _listed(splits.classes))))
            synchronize(trainer, together)
        with _terminable(trainer):
            code = _fit(trainer, splits, configuration, writer, quiet)
            if writer:
                with interrupts(_obeyed) if code else nullcontext():
                    say(writer.plot(trainer))
    together.barrier()  # a launcher ends all ranks when the first one ends with an error
    if together.rank:
        return
    if code:
        say(f"stopped at step {trainer.step}; {more}", WARNING)
        raise typer.Exit(code)
    result = {"run": str(path), "backend": trainer.backend.name, "epochs": trainer.epoch}
    if splits.test is not None:
        result["test"] = measured(predictor(path, trainer.backend.name), splits.test, path)
    show(result, as_json)
    if configuration.autoencoder.kind != "none":
        _draw(trainer, configuration, splits, path)
    if splits.test is not None:
        say(f"next: {command('evaluate', path, backend=backend)}")
    rows = rows_of(configuration.data.source)
    if rows and configuration.data.missing != "drop":  # those rows have no prediction
        files = "--input", rows, "--output", "answers.csv"
        say(f"next: {command('predict', path, *files, backend=backend)}")


def _begin(writer: RunWriter, trainer: Trainer, splits: Splits, configuration: Configuration, resume: bool) -> Splits:
    """Starts or resumes a run on its data; returns these with columns and classes in the run's order."""
    from ..data.identity import Identity
    from ..experiment.config import write
    from ..experiment.run_files import recognised

    path, targets = writer.path, configuration.autoencoder.kind == "none"
    if writer.begun:
        splits, identity, changes = recognised(path, splits, targets=targets)
        if changes:
            raise DataError(
                f"{path} was trained on other data: {'; '.join(changes)}. Bring the data back to go on, or train a "
                "new run on these (another --run)"
            )
    else:
        identity = Identity.of(splits, targets=targets)
    patience, scaling = configuration.train.patience > 0, trainer.model.target_scaling
    if writer.begin(write(configuration), trainer, resume=resume, data=identity, patience=patience):
        epochs = configuration.train.epochs
        if trainer.epoch < epochs:
            say(f"resuming at epoch {trainer.epoch + 1}, step {trainer.step}")
        else:
            say(f"all {trainer.epoch} epochs are done; to train further: --set train.epochs={2 * epochs}")
    elif resume:
        say("no checkpoint yet: starting afresh")
    if not targets:
        trainer.model.target_scaling = scaling  # autoencoders of older versions learned scaled rows without it
    return splits


def _listed(classes: Any) -> list[int | str] | None:
    return None if classes is None else classes.tolist()


def _launch(size: int) -> str:
    """How a command line begins that starts so many ranks."""
    return f"mpiexec -n {size} " if size > 1 else ""


def _draw(trainer: Trainer, configuration: Configuration, splits: Splits, path: Path) -> None:
    """Draws the pictures of an autoencoder, if possible."""
    from ..experiment.pictures import draw

    try:
        for line in draw(trainer, configuration, splits, path):
            say(line)
    except Exception as error:  # training has succeeded even if a picture cannot be drawn
        say(f"no pictures: {error}", WARNING)


def _configuration(path: Path | None, settings: list[str], run: Path | None, resume: bool) -> Configuration:
    """The configuration of a run. A resumed run uses its own, and a given one must not contradict it."""
    from ..experiment.config import parse_text, read, rooted
    from ..experiment.run_files import CONFIG, LAST, check_free, check_source, recorded
    from ..experiment.sections import Configuration

    if run is None or not check_free(run, resume):  # resumed nonetheless: stopped before its first checkpoint
        own = run / CONFIG if run is not None and resume and path is None and (run / CONFIG).exists() else path
        return rooted(configuration_of(own, settings))
    from ..storage.models import configuration_of as kept_in

    own, kept = run / CONFIG, kept_in(run / LAST)  # the file may have been edited since; the checkpoint's has not
    before = parse_text(Configuration, kept, run / LAST) if kept else read(own)
    if path is None and kept and not own.exists():
        wanted = rooted(parse_text(Configuration, kept, run / LAST, settings))
    else:
        wanted = rooted(read(path or own, settings))
    if not wanted.schedule.steps:
        schedule = wanted.schedule.model_copy(update={"steps": before.schedule.steps})
        wanted = wanted.model_copy(update={"schedule": schedule})
    old, new = before.model_dump(), wanted.model_dump()
    free = ["train.epochs", "schedule.steps", "backend.", "checkpoint."]
    free += ["data.source", "data.folder"] if recorded(run) else []  # the fingerprint tells whether the data are others
    refused = [
        f"{section}.{key} is {new[section].get(key)!r} and was {old[section].get(key)!r}"
        for section in old
        for key in {**old[section], **new[section]}
        if old[section].get(key) != new[section].get(key) and not f"{section}.{key}".startswith(tuple(free))
    ]
    if refused:
        raise ConfigurationError(
            f"{run} was begun with another configuration: {'; '.join(refused)}; only train.epochs, "
            "schedule.steps, the backend, [checkpoint] and the place of the same data may change on --resume"
        )
    check_source(run, wanted.data.source)
    return wanted


def _fit(trainer: Trainer, splits: Any, configuration: Configuration, writer: RunWriter | None, quiet: bool) -> int:
    """Trains to the configured number of epochs; returns 0, or the exit code if it ended early."""
    from ..experiment.fitting import fit, over

    try:
        if configuration.autoencoder.kind == "stacked" and not trainer.step:
            _pretrain(trainer, splits, configuration)
        if not over(trainer, configuration, configuration.train.epochs):
            fit(trainer, splits, configuration, writer, verbose=not quiet)
        return _saved(trainer, writer, TERMINATED) if trainer.stopped == "SIGTERM" else 0
    except KeyboardInterrupt:
        with interrupts(_obeyed):
            return _saved(trainer, writer, INTERRUPTED)


def _obeyed(reason: str) -> None:
    """A second Ctrl-C, as people press it: the run is being stopped already."""


def _pretrain(trainer: Trainer, splits: Any, configuration: Configuration) -> None:
    """Trains the pairs of layers of a stacked autoencoder."""
    from ..training.pretraining import pretrain

    section = configuration.autoencoder
    losses = pretrain(trainer, splits.train, epochs=section.pretrain, batch_size=configuration.train.batch_size)
    for level, loss in enumerate(losses):
        say(f"layer {level + 1} of {len(losses)} by itself, {section.pretrain} epochs: loss {loss:.4f}")


@contextmanager
def _terminable(trainer: Trainer) -> Iterator[None]:
    """Turns SIGTERM into a stop at the next batch boundary."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: trainer.stop("SIGTERM"))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _saved(trainer: Trainer, writer: RunWriter | None, code: int) -> int:
    """Saves a run that was stopped inside an epoch; at the end of an epoch it is saved already."""
    if writer and trainer.state.cursor:
        writer.save(trainer)
    return code
