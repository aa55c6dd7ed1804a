"""``gearshift train``."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...backends.errors import ConfigurationError
from .console import (
    INTERRUPTED,
    TERMINATED,
    BackendName,
    ConfigFile,
    Json,
    Quiet,
    Settings,
    configuration_of,
    say,
    show,
)
from .evaluate import predictor

if TYPE_CHECKING:
    from ..config import Configuration
    from ..run import RunWriter
    from ..trainer import Trainer


def train(
    config: ConfigFile = None,
    settings: Settings = None,
    backend: BackendName = None,
    run: Annotated[Path | None, typer.Option("--run", help="Directory of the run.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's checkpoint.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Trains a network, and tests its best weights."""
    from ... import backends
    from .. import experiment
    from ..config import write
    from ..interrupts import unswallowed
    from ..run import RunWriter

    if resume and run is None:
        raise ConfigurationError("--resume goes on with a run, and none is named; expected --run, as --run runs/first")
    path = run or Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    with unswallowed():
        configuration = _configuration(config, settings or [], path, resume)
        splits, trainer = experiment.build(configuration, backend)
    configuration = experiment.settled(configuration, splits)
    say(backends.explain(trainer.backend))
    say(splits.summary())
    if configuration.train.batch_size > len(splits.train):
        say(f"train.batch_size is {configuration.train.batch_size}: all {len(splits.train)} rows are taken at once")
    writer = RunWriter(path, configuration.checkpoint.every_seconds, configuration.train.monitor)
    with writer.opened():
        if writer.begin(write(configuration), trainer, resume=resume):
            say(f"resuming at epoch {trainer.epoch + 1}, step {trainer.step}")
        elif resume:
            say("no checkpoint yet: starting afresh")
        with _terminable(trainer):
            code = _fit(trainer, splits, configuration, writer, quiet)
            say(writer.plot(trainer))
    if configuration.autoencoder.kind != "none" and not code:
        from ..pictures import draw

        for line in draw(trainer, configuration, splits, path):
            say(line)
    if code:
        say(f"stopped at step {trainer.step}; go on with: gearshift train --resume --run {shlex.quote(str(path))}")
        raise typer.Exit(code)
    result = {"run": str(path), "backend": trainer.backend.name, "epochs": trainer.epoch}
    if splits.test is not None:
        result["test"] = predictor(path, trainer.backend.name).evaluate(splits.test)
    show(result, as_json)
    name = shlex.quote(str(path))
    evaluate = f"gearshift evaluate {name}   " if splits.test is not None else ""
    say(f"next: {evaluate}gearshift predict {name} --input X.npy --output Y.npy")


def _configuration(path: Path | None, settings: list[str], run: Path, resume: bool) -> Configuration:
    """The configuration of a run: its own where it is resumed, which another one may not contradict."""
    from ..config import read, rooted
    from ..run import CONFIG, LAST

    begun, own = (run / LAST).exists(), run / CONFIG
    if begun and not resume:
        raise ConfigurationError(f"{run} holds a run already; go on with --resume, or give another --run")
    if not begun:  # resumed nonetheless: it was stopped before its first checkpoint
        return rooted(configuration_of(own if resume and path is None and own.exists() else path, settings))
    before = read(own)
    wanted = rooted(read(path or own, settings))
    if not wanted.schedule.steps:
        schedule = wanted.schedule.model_copy(update={"steps": before.schedule.steps})
        wanted = wanted.model_copy(update={"schedule": schedule})
    old, new = before.model_dump(), wanted.model_dump()
    changed = [
        f"{section}.{key}"
        for section in old
        for key in {**old[section], **new[section]}
        if old[section].get(key) != new[section].get(key)
    ]
    free = ("train.epochs", "schedule.steps", "backend.", "checkpoint.")
    refused = [key for key in changed if not key.startswith(free)]
    if refused:
        raise ConfigurationError(
            f"{run} was begun with another configuration: {', '.join(refused)} differ; only train.epochs, "
            "schedule.steps, the backend and checkpoint may change on --resume"
        )
    return wanted


def _fit(trainer: Trainer, splits: Any, configuration: Configuration, writer: RunWriter, quiet: bool) -> int:
    """Trains to the configured number of epochs; the exit code of what ended it early, else 0."""
    from .. import experiment

    section = configuration.train
    trainer.early_stopping.patience = section.patience or None
    over = trainer.epoch >= section.epochs or trainer.early_stopping.exhausted(trainer.epoch)
    over = over or bool(section.loss_goal and len(trainer.history) and trainer.history[-1]["loss"] <= section.loss_goal)
    try:
        if configuration.autoencoder.kind == "stacked" and not trainer.step:
            _pretrain(trainer, splits, configuration)
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
                class_weight=experiment.class_weights(configuration, splits),
                callbacks=[*experiment.build_callbacks(configuration, splits), writer],
                verbose=not quiet,
            )
        return _saved(trainer, writer, TERMINATED) if trainer.stopped == "SIGTERM" else 0
    except KeyboardInterrupt:
        return _saved(trainer, writer, INTERRUPTED)


def _pretrain(trainer: Trainer, splits: Any, configuration: Configuration) -> None:
    """Trains the pairs of a stacked autoencoder's layers one after another."""
    from ..autoencoders import pretrain

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
