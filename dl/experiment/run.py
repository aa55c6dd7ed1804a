"""A run directory: configuration, environment, metrics, learning curve and checkpoints, with one writer at a time."""

from __future__ import annotations

import importlib.util
import json
import math
import platform
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...backends.errors import CheckpointError, ConfigurationError, DataError, RunMoved
from ..data.identity import Identity
from ..layers import Layer
from ..layers.files import load
from ..losses.joint import JointLoss
from ..losses.losses import CrossEntropyLoss, Loss, MSELoss
from ..storage import write_atomically
from ..storage.files import TEXT, read_bytes
from ..storage.lock import RunLock
from ..storage.models import loss_of, save_model
from ..storage.strict_json import dumps, record
from ..training.callbacks import Callback
from ..training.checkpoint import check_trainer, save_trainer
from ..training.history import History

if TYPE_CHECKING:
    from ..data import Splits
    from ..training.trainer import Trainer

CONFIG, ENVIRONMENT, METRICS, DATA = "config.toml", "environment.json", "metrics.jsonl", "data.json"
BEST, LAST, CURVE = "best.safetensors", "last.safetensors", "learning-curve.png"
SHARE = 0.05  # maximum share of the training time for saving at the ends of epochs
MAX_DATA = 64 << 20  # bytes of its file, which holds the names of all columns
LONGEST = 1 << 30  # bytes of the metrics
PACKAGES = ("numpy", "numba", "scikit-learn", "cupy-cuda12x", "cupy-cuda13x")


class Run:
    """Reads a run directory back.

    Parameters
    ----------
    path : the directory that ``gearshift train --run`` wrote.

    Raises
    ------
    ConfigurationError
        There is no run at `path`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / CONFIG).is_file():
            raise ConfigurationError(f"{path} is not a run: it holds no {CONFIG}")

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        try:
            return tomllib.loads(read_bytes(self.path / CONFIG, TEXT).decode())
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{self.path / CONFIG} is not valid TOML: {error}") from None

    @property
    def environment(self) -> dict[str, Any]:
        """Where the run was made: versions, device, backend."""
        try:
            return json.loads(read_bytes(self.path / ENVIRONMENT, TEXT))
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{self.path / ENVIRONMENT} is damaged: {error}; the next --resume writes it anew"
            ) from None

    @property
    def data(self) -> Identity | None:
        """The fingerprint of the training data; None if an older version wrote the run."""
        return _recorded(self.path)

    @property
    def history(self) -> History:
        """The record of every finished epoch."""
        path = self.path / METRICS
        lines = read_bytes(path, LONGEST).split(b"\n")[:-1] if path.exists() else []
        from ..storage.description import check_records

        try:
            records = [record(json.loads(line)) for line in lines]
            check_records(records)
            return History(records)
        except (ValueError, AttributeError, RecursionError) as error:
            raise DataError(f"{path} is damaged: {error}; the next --resume writes it anew") from None

    @property
    def checkpoint(self) -> Path:
        """The checkpoint with the best weights, or else the last one.

        Raises
        ------
        CheckpointError
            The run has no checkpoint yet.
        """
        for name in (BEST, LAST):
            if (self.path / name).exists():
                return self.path / name
        raise CheckpointError(f"{self.path} has no checkpoint yet: neither {BEST} nor {LAST}")

    @property
    def model(self) -> Layer:
        """The model with the best weights, or else the last ones."""
        return load(self.checkpoint)

    @property
    def loss(self) -> Loss:
        """The loss that was minimised."""
        name = loss_of(self.checkpoint)
        if name is None and (self.path / LAST).exists():  # the best weights are those of an older version
            name = loss_of(self.path / LAST)
        if name in Loss.registered:
            return Loss.registered[name]()
        if name == JointLoss.__name__:
            from .build import build_heads
            from .config import parse

            return build_heads(parse(self.config))
        return MSELoss() if self.model.classes is None else CrossEntropyLoss()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


class RunWriter(Callback):
    """Writes a run directory while a trainer works.

    Parameters
    ----------
    path : the directory.
    every_seconds : between two checkpoints inside an epoch.
    monitor : the measure whose best epoch `best.safetensors` keeps; without validation data, the training loss.

    Each finished epoch adds a line to the metrics. Checkpoints (best, then last) are written at the end of the training
    and after each epoch, except if writing would take more than `SHARE` of the time. A run that was killed continues
    from the last checkpoint and repeats the work after it with the same results. The first time, `last` is written
    before `best`, so that `best` never exists without `last`.
    """

    def __init__(self, path: Path, every_seconds: float, monitor: str = "validation_loss") -> None:
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
        measured = [*trainer.loss.metrics, *(f"validation_{name}" for name in trainer.loss.metrics)]
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
        sign = -1 if measure.endswith("loss") else 1
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
            save_model(trainer.model, self.path / BEST, self._best, type(trainer.loss).__name__)
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


def recognised(path: Path, splits: Splits, *, targets: bool = True) -> tuple[Splits, Identity, list[str]]:
    """Compares data with those that the run at `path` was trained on.

    Parameters
    ----------
    targets : whether to compare targets; those of an autoencoder are computed from the rows.

    Returns
    -------
    splits : the data, with columns and classes in the order of the run's.
    identity : of these.
    changes : descriptions of the differences; none if an older version wrote the run.

    Raises
    ------
    DataError
        The names of columns or classes are not the run's.
    """
    before = _recorded(path)
    if before is None:
        return splits, Identity.of(splits, targets), []
    try:
        splits = splits.matched(before.feature_names, before.classes)
    except DataError as error:
        raise DataError(f"{path} was trained on other data: {error}") from None
    now = Identity.of(splits, targets)
    return splits, now, before.changes(now)


def _recorded(path: Path) -> Identity | None:
    file = path / DATA
    if not file.exists():
        return None
    try:
        if file.stat().st_size > MAX_DATA:
            raise ValueError(f"it has more than {MAX_DATA} bytes")
        return Identity.model_validate_json(file.read_bytes())
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{file} is damaged: {reason}; delete it to go on, and see for yourself that the data are those that the "
            "run was trained on"
        ) from None


def check_free(path: Path, resume: bool) -> bool:
    """Whether there is a run at `path` to resume.

    Raises
    ------
    ConfigurationError
        There is a run but no --resume, or there are remains of a run that would be overwritten.
    """
    if (path / LAST).exists():
        if not resume:
            raise ConfigurationError(f"{path} holds a run already; go on with --resume, or give another --run")
        return True
    metrics = (path / METRICS).exists() and (path / METRICS).stat().st_size > 0
    if (path / BEST).exists() or (metrics and not resume):  # resumed, an epoch that was cut short is written again
        raise ConfigurationError(
            f"{path} holds a run that has lost its {LAST}, so that it cannot be resumed; nothing of it is overwritten: "
            "put the file back, or give another --run"
        )
    return False


def fresh(folder: Path) -> Path:
    """Makes a new directory named by the time, with a number if several processes start at once."""
    folder.mkdir(parents=True, exist_ok=True)
    name = time.strftime("%Y%m%d-%H%M%S")
    for number in count(1):
        path = folder / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            path.mkdir()
            break
    return path


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
