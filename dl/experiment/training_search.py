"""A search over the keys of a training configuration: each candidate is a run, trained as far as it is worth."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...backends.errors import ConfigurationError, NonFiniteLoss
from ..data import Splits
from ..measures import falls
from ..storage import write_atomically
from ..storage.files import TEXT, read_bytes
from ..storage.strict_json import dumps
from ..training.trainer import Trainer
from . import build as experiment
from .config import parse_as, rooted, write
from .fitting import fit, over
from .run_files import CONFIG
from .run_writer import RunWriter
from .schedule import settled
from .search import candidates_of
from .sections import Configuration, Count, SearchValues, Section

TRIALS = "search.json"
Advance = Callable[[int, float], None]


class TrainingSearchSection(Section):
    """``[search]`` over keys of a training configuration."""

    method: Literal["grid", "random", "halving"] = "grid"
    candidates: Count = 20
    factor: int = Field(default=3, ge=2, lt=100)
    seed: int = Field(default=0, ge=0, lt=2**32)
    parameters: dict[str, SearchValues] = Field(min_length=1)


@dataclass
class CandidateRun:
    """A candidate: its run, what is varied, and its result so far."""

    run: str
    parameters: dict[str, Any]
    score: float = math.nan
    """The best value of the monitor; NaN if the loss became infinite."""
    epochs: int = 0
    seconds: float = 0.0


@dataclass
class TrainingSearch:
    """The candidates of a search, from best to worst once they have run."""

    folder: Path
    section: TrainingSearchSection
    base: dict[str, Any]
    monitor: str
    epochs: int
    rows: list[CandidateRun]
    backend: str | None = None
    _data: dict[str, Splits] = field(default_factory=dict)

    def run(self, advance: Advance = lambda done, best: None) -> None:
        """Trains the candidates; those that have run are not trained again.

        With the method ``"halving"``, all candidates train for a few epochs, the better third goes on, and so on
        (Jamieson and Talwalkar 2016). `advance` is called with the number done and the best score.

        Raises
        ------
        KeyboardInterrupt
            Ctrl-C; what has been trained is saved.
        ConfigurationError
            A candidate's configuration is wrong, or `monitor` is not measured.
        """
        for configuration in map(self.configuration, self.rows):  # all mistakes come before the first training
            experiment.build_optimizer(configuration)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / TRIALS, dumps(self.as_json(), indent=1).encode())
        rows, done = list(self.rows), 0
        for epochs in self.rungs():
            for trial in rows:
                self._train(trial, epochs)
                done += 1
                advance(done, self._sorted(self.rows)[0].score)
            rows = self._sorted(rows)[: math.ceil(len(rows) / self.section.factor)]
        self.rows = self._sorted(self.rows)
        write_atomically(self.folder / TRIALS, dumps(self.as_json(), indent=1).encode())

    def rungs(self) -> list[int]:
        """The epochs after which candidates are compared; the last is the whole training."""
        if self.section.method != "halving":
            return [self.epochs]
        factor, count, epochs = self.section.factor, len(self.rows), [self.epochs]
        while count > 1 and epochs[0] // factor >= 1:
            epochs.insert(0, epochs[0] // factor)
            count = math.ceil(count / factor)
        return epochs

    def trainings(self) -> int:
        """How often a candidate is trained further, in all."""
        count, total = len(self.rows), 0
        for _ in self.rungs():
            total, count = total + count, math.ceil(count / self.section.factor)
        return total

    def configuration(self, trial: CandidateRun) -> Configuration:
        """The configuration of a candidate."""
        table = {name: dict(keys) for name, keys in self.base.items()}
        for key, value in trial.parameters.items():
            section, dot, name = key.partition(".")
            if not dot:
                raise ConfigurationError(f"search.parameters.{key} is no key; expected section.key, as optimizer.lr")
            table.setdefault(section, {})[name] = value
        try:
            return rooted(parse_as(Configuration, table))
        except ConfigurationError as error:
            raise ConfigurationError(f"search.parameters: {error}") from None

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        rows = [asdict(row) for row in self.rows]
        return {"monitor": self.monitor, "epochs": self.epochs, "parameters": self.section.model_dump(), "trials": rows}

    def show(self, most: int = 20) -> None:
        """Prints a table of the best candidates."""
        from rich.console import Console
        from rich.table import Table

        table = Table()
        for column in ("run", *self.rows[0].parameters, self.monitor, "epochs", "s"):
            table.add_column(column, justify="right", overflow="fold")
        for row in self.rows[:most]:
            shown = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.parameters.values()]
            table.add_row(row.run, *shown, f"{row.score:.4f}", str(row.epochs), f"{row.seconds:.1f}")
        Console().print(table)

    def _train(self, trial: CandidateRun, epochs: int) -> None:
        """Trains a candidate up to so many epochs, or reads what it has reached."""
        configuration = self.configuration(trial)
        splits = self._splits(configuration)
        if splits.validation is None:
            raise ConfigurationError("a search compares validation data, and there are none; set data.validation")
        configuration = settled(configuration, splits)
        path, section = self.folder / trial.run, configuration.train
        name = self.backend if self.backend not in (None, "auto") else configuration.backend.name
        trainer = experiment.build_trainer(configuration, splits, name or "auto")
        writer = RunWriter(path, configuration.checkpoint.every_seconds, section.monitor, section.metrics)
        with writer.opened():
            if writer.begun and (path / CONFIG).read_text(encoding="utf-8") != write(configuration):
                raise ConfigurationError(f"{path} was begun with another configuration; give another --run")
            writer.begin(write(configuration), trainer, resume=writer.begun, patience=section.patience > 0)
            try:
                if not over(trainer, configuration, epochs):
                    fit(trainer, splits, configuration, writer, epochs=epochs)
            except KeyboardInterrupt:
                if trainer.state.cursor:
                    writer.save(trainer)
                raise
            except NonFiniteLoss:
                trial.score = math.nan
                return
        trial.epochs, trial.score = trainer.epoch, self._best(trainer)
        trial.seconds = float(sum(trainer.history["seconds"]))

    def _splits(self, configuration: Configuration) -> Splits:
        """The data of a configuration, read once for all candidates that have them alike."""
        keys = configuration.data, configuration.autoencoder.kind, bool(configuration.loss.heads)
        key = repr((*keys, configuration.train.seed))
        if key not in self._data:
            self._data = {key: experiment.load(configuration)}  # one data set at a time
        return self._data[key]

    def _best(self, trainer: Trainer) -> float:
        values = [record[self.monitor] for record in trainer.history if self.monitor in record]
        values = [value for value in values if value == value]
        return (min if falls(self.monitor) else max)(values, default=math.nan)

    def _sorted(self, rows: Sequence[CandidateRun]) -> list[CandidateRun]:
        sign = 1 if falls(self.monitor) else -1
        return sorted(rows, key=lambda row: (row.epochs == 0, math.isnan(row.score), sign * row.score))


def prepare_training_search(table: dict[str, Any], folder: Path, backend: str | None = None) -> TrainingSearch:
    """The candidates of a configuration with a ``[search]`` over its own keys.

    Raises
    ------
    ConfigurationError
        A key is unknown, a range cannot be searched, or the folder holds another search.
    """
    base = {name: value for name, value in table.items() if name != "search"}

    class Sections(Section):
        search: TrainingSearchSection

    section = parse_as(Sections, {"search": table["search"]}).search
    configuration = parse_as(Configuration, base)
    candidates = candidates_of(section.parameters, section.method, section.candidates, section.seed)
    rows = [CandidateRun(f"trial-{number:03}", candidate) for number, candidate in enumerate(candidates, 1)]
    train = configuration.train
    trials = TrainingSearch(folder, section, base, train.monitor, train.epochs, rows, backend)
    file = folder / TRIALS
    if file.exists():
        kept = _kept(file)
        wanted = json.loads(dumps([row.parameters for row in rows]))
        if sorted(map(repr, kept)) != sorted(map(repr, wanted)):
            raise ConfigurationError(f"{folder} holds a search of other candidates; give another --run")
    return trials


def _kept(file: Path) -> list[Any]:
    try:
        return [row["parameters"] for row in json.loads(read_bytes(file, 64 * TEXT))["trials"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigurationError(f"{file} is damaged: {error!r}; give another --run") from None


def searches_training(path: Path) -> bool:
    """Whether a TOML file has a ``[search]`` over keys of a training, ``section.key``, rather than of an estimator."""
    try:
        table = tomllib.loads(read_bytes(path, TEXT).decode("utf-8-sig"))
        return "estimator" not in table and any("." in key for key in table["search"]["parameters"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False  # the reader of configurations says what is wrong
