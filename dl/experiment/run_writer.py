"""Writes a run directory while a trainer works."""

from __future__ import annotations

import importlib.util
import math
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...backends.errors import CheckpointError, ConfigurationError, RunMoved
from ..data.identity import Identity
from ..measures import falls
from ..storage import write_atomically
from ..storage.lock import RunLock
from ..storage.models import save_model
from ..storage.strict_json import dumps
from ..training.callbacks import Callback
from ..training.checkpoint import check_trainer, save_trainer
from ..training.history import History
from .run_files import BEST, CONFIG, CURVE, DATA, ENVIRONMENT, LAST, METRICS, check_directory, check_free

if TYPE_CHECKING:
    from ..training.trainer import Trainer

SHARE = 0.05  # maximum share of the training time for saving at the ends of epochs
PACKAGES = ("numpy", "numba", "scikit-learn", "cupy-cuda12x", "cupy-cuda13x")


class RunWriter(Callback):
    """Writes a run directory while a trainer works.

    Parameters
    ----------
    path : the directory.
    every_seconds : between two checkpoints inside an epoch.
    monitor : the measure whose best epoch `best.safetensors` keeps; without validation data, the training loss.
    metrics : names of further measures of the validation data.

    Each finished epoch adds a line to the metrics. Checkpoints (best, then last) are written at the end of the training
    and after each epoch, except if writing would take more than `SHARE` of the time. A run that was killed continues
    from the last checkpoint and repeats the work after it with the same results. The first time, `last` is written
    before `best`, so that `best` never exists without `last`.
    """

    def __init__(
        self, path: Path, every_seconds: float, monitor: str = "validation_loss", metrics: Sequence[str] = ()
    ) -> None:
        self.metrics = metrics
        self.path, self.every_seconds, self.monitor = path, every_seconds, monitor
        self.saved, self._took = time.monotonic(), 0.0
        self.configuration = ""
        self._place: tuple[int, int] | None = None
        self._unsaved = False  # whether an epoch has ended since the last checkpoint
        self._best: dict[str, Any] | None = None  # weights that are better than those on disk
        self._bar: float | None = None  # the best measure so far

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint to continue from."""
        return (self.path / LAST).exists()

    @contextmanager
    def opened(self) -> Iterator[RunWriter]:
        """Holds the directory's lock; a second writer raises `RunLocked`."""
        check_directory(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        with RunLock(self.path):
            found = self.path.stat()
            self._place = found.st_dev, found.st_ino
            yield self

    def begin(
        self,
        configuration: str,
        trainer: Trainer,
        *,
        resume: bool,
        data: Identity | None = None,
        patience: bool = False,
    ) -> bool:
        """Starts or resumes a run; returns whether there was a checkpoint.

        `patience` tells that early stopping will keep the best weights.

        Raises
        ------
        ConfigurationError
            The directory holds a run, or what is left of one, that would be overwritten.
        CheckpointError
            The run's checkpoint cannot be read, or none could be written, whatever the training does.
        """
        resumed = check_free(self.path, resume)
        measured = [*trainer.loss.metrics, *(f"validation_{name}" for name in (*trainer.loss.metrics, *self.metrics))]
        self._bar = None
        if self.monitor not in measured:
            raise ConfigurationError(
                f"train.monitor is {self.monitor!r}, which is not measured; expected one of: {', '.join(measured)}"
            )
        self.configuration = configuration
        if resumed:
            trainer.load(self.path / LAST)
            trainer.goes_on = True  # also with more epochs than were planned
            if len({self.monitor in record for record in trainer.history}) > 1:
                raise CheckpointError(f"{self.path / LAST}: some records of its history are without {self.monitor!r}")
            if len(trainer.history) == 1 and not trainer.state.cursor and not (self.path / BEST).exists():
                self._best = trainer.model.state_dict()
                self._save_best(trainer)
        check_trainer(trainer, self.path / LAST, configuration, best=patience)
        lines = [dumps(one) + "\n" for one in trainer.history]
        write_atomically(self.path / METRICS, "".join(lines).encode())
        write_atomically(self.path / CONFIG, configuration.encode())
        environment = dumps(environment_of(trainer), indent=2)
        write_atomically(self.path / ENVIRONMENT, environment.encode())
        if data is not None:
            write_atomically(self.path / DATA, data.model_dump_json(indent=2).encode())
        return resumed

    def on_epoch_end(self, trainer: Trainer, record: dict[str, float]) -> None:
        self._check_place(trainer)
        try:
            with (self.path / METRICS).open("ab") as metrics:
                metrics.write(dumps(record).encode() + b"\n")
        except OSError as error:  # writing says no name
            raise OSError(error.errno, error.strerror, str(self.path / METRICS)) from error
        if self._improved(trainer.history, record):
            self._best = trainer.model.state_dict()
        self._unsaved = True
        over = not trainer.goes_on or trainer.stopping
        if over or time.monotonic() - self.saved >= self._took / SHARE:
            self.save(trainer)

    def on_train_end(self, trainer: Trainer, history: History) -> None:
        if self._unsaved:
            self.save(trainer)

    def _improved(self, history: History, record: dict[str, float]) -> bool:
        """Whether the last epoch's measure is the best so far; NaN is only in the first epoch."""
        measure = self.monitor if self.monitor in record else "loss"
        sign = -1 if falls(measure) else 1
        if self._bar is None:
            known = [sign * value for earlier in history.records[:-1] if (value := earlier[measure]) == value]
            self._bar = max(known, default=-math.inf)
        bar, value = self._bar, sign * record[measure]
        if value > bar:
            self._bar = value
        return len(history) == 1 or value > bar

    def on_tick(self, trainer: Trainer) -> None:
        if time.monotonic() - self.saved >= self.every_seconds:
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Writes everything that is needed to continue from here."""
        self._check_place(trainer)
        self._unsaved = False
        start, begun = time.monotonic(), self.begun
        if begun:
            self._save_best(trainer)
        with trainer.turns:
            save_trainer(trainer, self.path / LAST, self.configuration)
        if not begun:
            self._save_best(trainer)
        self.saved = time.monotonic()
        self._took = self.saved - start

    def _save_best(self, trainer: Trainer) -> None:
        if self._best is not None:
            save_model(trainer.model, self.path / BEST, self._best, trainer.loss)
            self._best = None

    def _check_place(self, trainer: Trainer) -> None:
        """Raises an error if the directory was renamed or deleted since it was opened."""
        try:
            found = self.path.stat()
            here = self._place in (None, (found.st_dev, found.st_ino))
        except OSError:
            here = False
        if not here:
            raise RunMoved(
                f"{self.path} was renamed or deleted while it was written to, before step {trainer.step} could be "
                "saved; what was saved before is where the directory is now"
            )

    def plot(self, trainer: Trainer) -> str:
        """Draws the learning curve; returns a line that tells where it is, or why there is none."""
        if importlib.util.find_spec("matplotlib") is None:
            return "no learning curve: Matplotlib is not installed (pip install 'gearshift[plot]')"
        if not len(trainer.history):
            return "no learning curve: no epoch is finished"
        try:
            trainer.history.plot(self.path / CURVE)
        except Exception as error:  # training has succeeded even if the plot fails
            return f"no learning curve: {error}"
        return f"learning curve: {self.path / CURVE}"


def environment_of(trainer: Trainer) -> dict[str, Any]:
    """Versions, device and backend, for `environment.json`."""
    from ... import __version__, backends

    status = backends.available()[trainer.backend.name]
    return {
        "gearshift": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "backend": status.name,
        "device": status.device,
        "threads": dict(status.threads),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
