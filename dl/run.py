"""A run directory: configuration, environment, metrics, learning curve and checkpoints, with one writer at a time."""

from __future__ import annotations

import importlib.util
import json
import platform
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.errors import CheckpointError, ConfigurationError, DataError
from .callbacks import Callback
from .checkpoint import load, loss_of
from .history import History
from .joint_loss import JointLoss
from .layers import Layer
from .losses import REGISTERED as LOSSES
from .losses import CrossEntropyLoss, Loss, MSELoss
from .storage import RunLock, write_atomically
from .storage.strict_json import dumps, record

if TYPE_CHECKING:
    from .trainer import Trainer

CONFIG, ENVIRONMENT, METRICS = "config.toml", "environment.json", "metrics.jsonl"
BEST, LAST, CURVE = "best.safetensors", "last.safetensors", "learning-curve.png"
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
            return tomllib.loads((self.path / CONFIG).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigurationError(f"{self.path / CONFIG} is not valid TOML: {error}") from None

    @property
    def environment(self) -> dict[str, Any]:
        """Where the run was made: versions, device, backend."""
        try:
            return json.loads((self.path / ENVIRONMENT).read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(
                f"{self.path / ENVIRONMENT} is damaged: {error}; the next --resume writes it anew"
            ) from None

    @property
    def history(self) -> History:
        """The record of every finished epoch."""
        path = self.path / METRICS
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        try:
            return History([record(json.loads(line)) for line in lines])
        except (ValueError, AttributeError) as error:
            raise DataError(f"{path} is damaged: {error}; the next --resume writes it anew") from None

    @property
    def checkpoint(self) -> Path:
        """The best weights, else the last ones.

        Raises
        ------
        CheckpointError
            The run has neither yet.
        """
        for name in (BEST, LAST):
            if (self.path / name).exists():
                return self.path / name
        raise CheckpointError(f"{self.path} has no checkpoint yet: neither {BEST} nor {LAST}")

    @property
    def model(self) -> Layer:
        """The model with the best weights, else the last ones."""
        return load(self.checkpoint)

    @property
    def loss(self) -> Loss:
        """The loss that was minimised."""
        name = loss_of(self.path / LAST) if (self.path / LAST).exists() else None
        if name in LOSSES:
            return LOSSES[name]()
        if name == JointLoss.__name__:
            from .config import parse
            from .experiment import build_heads

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

    Each finished epoch is written in the order metrics, best, last: a process killed in between repeats the epoch
    from the previous `last`, and writes the same again.
    """

    def __init__(self, path: Path, every_seconds: float, monitor: str = "validation_loss") -> None:
        self.path, self.every_seconds, self.monitor = path, every_seconds, monitor
        self.saved = time.monotonic()

    @contextmanager
    def opened(self) -> Iterator[RunWriter]:
        """Holds the directory's lock; a second writer raises `RunLocked`."""
        self.path.mkdir(parents=True, exist_ok=True)
        with RunLock(self.path):
            yield self

    def begin(self, configuration: str, trainer: Trainer, *, resume: bool) -> bool:
        """Writes what describes the run, or takes up where it stopped; whether there was a checkpoint."""
        resumed = (self.path / LAST).exists()
        if resumed and not resume:
            raise ConfigurationError(f"{self.path} holds a run already; go on with --resume, or give another --run")
        measured = [*trainer.loss.metrics, *(f"validation_{name}" for name in trainer.loss.metrics)]
        if self.monitor not in measured:
            raise ConfigurationError(
                f"train.monitor is {self.monitor!r}, which is not measured; expected one of: {', '.join(measured)}"
            )
        if resumed:
            trainer.load(self.path / LAST)
        lines = [dumps(one) + "\n" for one in trainer.history]
        write_atomically(self.path / METRICS, "".join(lines).encode())
        write_atomically(self.path / CONFIG, configuration.encode())
        environment = dumps(environment_of(trainer), indent=2)
        write_atomically(self.path / ENVIRONMENT, environment.encode())
        return resumed

    def on_epoch_end(self, trainer: Trainer, record: dict[str, float]) -> None:
        with (self.path / METRICS).open("ab") as metrics:
            metrics.write(dumps(record).encode() + b"\n")
        measure = self.monitor if self.monitor in record else "loss"
        *before, value = trainer.history[measure]
        sign = -1 if measure.endswith("loss") else 1  # NaN is never better, nor as good as a number
        if not before or (value == value and not any(sign * other >= sign * value for other in before)):
            trainer.model.save(self.path / BEST)
        self.save(trainer)

    def on_tick(self, trainer: Trainer) -> None:
        if time.monotonic() - self.saved >= self.every_seconds:
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Writes everything that is needed to go on from here."""
        trainer.save(self.path / LAST)
        self.saved = time.monotonic()

    def plot(self, trainer: Trainer) -> str:
        """Draws the learning curve; a line that says where it is, or why there is none."""
        if importlib.util.find_spec("matplotlib") is None:
            return "no learning curve: Matplotlib is not installed (pip install 'gearshift[plot]')"
        if not len(trainer.history):
            return "no learning curve: no epoch is finished"
        trainer.history.plot(self.path / CURVE)
        return f"learning curve: {self.path / CURVE}"


def environment_of(trainer: Trainer) -> dict[str, Any]:
    """Versions, device and backend, for `environment.json`."""
    from .. import __version__, backends

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
