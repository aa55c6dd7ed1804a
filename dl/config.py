"""The configuration: a TOML file checked by pydantic."""

from __future__ import annotations

import inspect
import re
import reprlib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..backends.errors import ConfigurationError
from .data.sources import NAMED
from .files import TEXT, expanded, read_bytes
from .hints import hint
from .losses import REGISTERED as LOSSES
from .optimizers import REGISTERED as OPTIMIZERS
from .values import check_values

Count = Annotated[int, Field(ge=1, lt=2**31)]
Whole = Annotated[int, Field(ge=0, lt=2**31)]


class Section(BaseModel):
    """Base of the sections: unknown keys, wrong types and numbers that are not finite are mistakes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class BackendSection(Section):
    """Where the training runs."""

    name: str = Field(default="auto", min_length=1)


class DataSection(Section):
    """What is learned from."""

    source: str = Field(default="digits", min_length=1)
    length: Count = 64
    validation: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.2, ge=0, lt=1)
    target: str | list[str] = ""
    weight: str = ""
    labels: Literal["auto", "classes", "values"] = "auto"
    folder: str = ""
    fetch: bool = False
    standardize: bool = True


class LayerSection(BaseModel):
    """A layer of a graph: its class, its arguments, which the class itself checks, what it reads, and layers in it."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    name: str = ""
    kind: str = ""
    shares: str = ""
    inputs: list[str] = []
    layers: list[LayerSection] = []


class ModelSection(Section):
    """A multilayer perceptron, or, where there are `layers`, a graph of them."""

    hidden: list[Count] = [256]
    activation: Literal["relu", "tanh", "sigmoid", "gelu", "softplus", "maxout"] = "relu"
    pieces: Count = 2
    batch_norm: bool = False
    dropout: float = Field(default=0.2, ge=0, lt=1)
    init: Literal["auto", "glorot", "he", "gaussian", "uniform"] = "auto"
    dtype: Literal["float32", "float64"] = "float32"
    inputs: dict[str, Count] = {}
    layers: list[LayerSection] = []


class AutoencoderSection(Section):
    """An autoencoder instead, whose hidden layers and activation are ``[model]``'s. `weight` 0 is the kind's own."""

    kind: Literal["none", "undercomplete", "sparse", "denoising", "contractive", "stacked", "variational"] = "none"
    code: Count = 32
    weight: float = Field(default=0.0, ge=0)
    penalty: Literal["kl", "l1"] = "kl"
    rate: float = Field(default=0.05, gt=0, lt=1)
    noise: Literal["masking", "gaussian"] = "masking"
    amount: float = Field(default=0.3, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    pretrain: Count = 3


class HeadSection(Section):
    """The loss of one output of several."""

    loss: Literal[*LOSSES] = "MSELoss"  # pyright: ignore[reportInvalidTypeForm]
    outputs: Count = 1
    weight: float = Field(default=1.0, gt=0)


class LossSection(Section):
    """What is minimised; with `heads`, the weighted sum of theirs."""

    name: Literal["auto", *LOSSES, "JointLoss"] = "auto"  # pyright: ignore[reportInvalidTypeForm]
    heads: dict[str, HeadSection] = {}

    @model_validator(mode="after")
    def _one_or_several(self) -> LossSection:
        if self.heads and self.name not in ("auto", "JointLoss"):
            raise ValueError(f"There is a loss, {self.name}, and there are heads, each with its own; set one of them")
        if self.name == "JointLoss" and not self.heads:
            raise ValueError("JointLoss needs heads, as [loss.heads.kind]")
        return self


class GroupSection(Section):
    """Parameters with a rate or a decay of their own."""

    names: str
    lr: float | None = Field(default=None, ge=0)
    weight_decay: float | None = Field(default=None, ge=0)


class OptimizerSection(BaseModel):
    """An optimizer and its arguments, which the optimizer itself checks."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    name: Literal[*OPTIMIZERS] = "Adam"  # pyright: ignore[reportInvalidTypeForm]
    lr: float = Field(default=1e-3, ge=0)
    groups: list[GroupSection] = []

    @model_validator(mode="before")
    @classmethod
    def _own_rate(cls, given: Any) -> Any:
        """Without a rate, the optimizer's own default."""
        kind = given.get("name") if isinstance(given, dict) else None
        if isinstance(kind, str) and kind in OPTIMIZERS and "lr" not in given:
            rate = inspect.signature(OPTIMIZERS[kind]).parameters["lr"].default
            return {**given, "lr": rate}
        return given


class ScheduleSection(Section):
    """How the learning rate moves."""

    name: Literal["constant", "linear", "step", "cosine", "inverse", "power"] = "constant"
    warmup: Whole = 0
    steps: Whole = 0
    final: float = Field(default=0.01, ge=0)
    gamma: float = Field(default=0.1, gt=0)
    delta: float = Field(default=1e-3, gt=0)
    power: float = Field(default=1.0, gt=0.5, le=1)
    hold: Whole = 0

    @model_validator(mode="after")
    def _has_steps(self) -> ScheduleSection:
        if self.name == "step" and not self.steps:
            raise ValueError("steps is 0, but the schedule 'step' decays every so many steps; expected at least 1")
        return self


class TrainSection(Section):
    """How long, and in what batches."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    epochs: Count = 60
    batch_size: Count = 32
    patience: Whole = 0
    monitor: str = "validation_loss"
    order: Literal["shuffled", "once", "replacement"] = "shuffled"
    accumulate: Count = 1
    loss_goal: float = Field(default=0.0, ge=0)
    class_weight: Literal["none", "balanced"] | list[float] = "none"
    clip_norm: float = Field(default=0.0, ge=0)
    clip_value: float = Field(default=0.0, ge=0)
    l1: float = Field(default=0.0, ge=0)
    soft_threshold: float = Field(default=0.0, ge=0)
    precision: Literal["auto", "float32", "tf32", "bfloat16", "float16", "float64"] = "auto"


class WatchSection(Section):
    """What each epoch's record holds beside the losses, of the first `rows` for training; and flat stretches."""

    gradient_norms: bool = False
    curvature: bool = False
    rows: Count = 1000
    flat_epochs: Whole = 0
    restart: bool = False


class CheckpointSection(Section):
    """When the run is saved, besides at the end of each epoch."""

    every_seconds: float = Field(default=60.0, gt=0)


class Configuration(Section):
    """A whole configuration; every key has a default."""

    backend: BackendSection = BackendSection()
    data: DataSection = DataSection()
    model: ModelSection = ModelSection()
    autoencoder: AutoencoderSection = AutoencoderSection()
    loss: LossSection = LossSection()
    optimizer: OptimizerSection = OptimizerSection()
    schedule: ScheduleSection = ScheduleSection()
    train: TrainSection = TrainSection()
    watch: WatchSection = WatchSection()
    checkpoint: CheckpointSection = CheckpointSection()


class EstimatorSection(BaseModel):
    """Parameters that all candidates of a search share, which the estimator itself checks."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class Range(Section):
    """Numbers that a random search draws from: evenly, or evenly in their logarithm."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


class SearchSection(Section):
    """Which candidates are tried, and how they are compared."""

    method: Literal["grid", "random"] = "grid"
    candidates: Count = 20
    folds: int = Field(default=5, ge=2, lt=2**31)
    scoring: str = ""
    jobs: Count = 1
    seed: int = Field(default=0, ge=0, lt=2**32)
    parameters: dict[str, list[Any] | Range] = Field(min_length=1)


class SearchConfiguration(Section):
    """What ``gearshift search`` reads."""

    backend: BackendSection = BackendSection()
    data: DataSection = DataSection()
    estimator: EstimatorSection = EstimatorSection()
    search: SearchSection


Kind = TypeVar("Kind", bound=BaseModel)

_shown = reprlib.Repr()  # long values are cut short in messages
_shown.maxstring = _shown.maxother = 100


def parse(table: dict[str, Any], settings: Sequence[str] = ()) -> Configuration:
    """The configuration of a training; see `parse_as`."""
    return parse_as(Configuration, table, settings)


def parse_as(kind: type[Kind], table: dict[str, Any], settings: Sequence[str] = ()) -> Kind:
    """The configuration of a table read from TOML, with ``key=value`` settings applied over it.

    Raises
    ------
    ConfigurationError
        A key is unknown, or a value has the wrong type or is out of range; every mistake is named.
    """
    merged = {name: dict(value) if isinstance(value, dict) else value for name, value in table.items()}
    for setting in settings:
        key, equals, text = setting.partition("=")
        section, dot, name = key.strip().partition(".")
        if not equals or not dot:
            raise ConfigurationError(f"--set {setting!r} is not of the form section.key=value")
        target = merged.setdefault(section, {})
        if not isinstance(target, dict):
            raise ConfigurationError(f"{section} is {target!r}; expected a table of keys")
        target[name] = _value(key.strip(), text.strip())
    check_values("", merged)
    try:
        return kind.model_validate(merged)
    except ValidationError as error:
        raise ConfigurationError("; ".join(_message(kind, fault) for fault in error.errors())) from None


def read(path: str | Path, settings: Sequence[str] = ()) -> Configuration:
    """The configuration of a training from a TOML file, with settings applied over it."""
    return read_as(Configuration, path, settings)


def read_as(kind: type[Kind], path: str | Path, settings: Sequence[str] = ()) -> Kind:
    """The configuration of a TOML file, with settings applied over it."""
    try:
        table = tomllib.loads(read_bytes(path, TEXT).decode("utf-8-sig"))  # editors on Windows begin with a mark
    except OSError as error:
        raise ConfigurationError(f"cannot read configuration {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = 1 + error.object.count(b"\n", 0, error.start)
        raise ConfigurationError(f"{path} is not UTF-8 text, line {line} is not; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # also whole numbers of thousands of digits, which Python refuses
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from None
    try:
        return parse_as(kind, table, settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def rooted(configuration: Configuration) -> Configuration:
    """The configuration with a source that is a file or folder as an absolute path, so that it holds anywhere."""
    source = expanded(configuration.data.source)
    if configuration.data.source in NAMED or not source.exists():
        return configuration
    data = configuration.data.model_copy(update={"source": str(source.resolve())})
    return configuration.model_copy(update={"data": data})


def write(configuration: Configuration) -> str:
    """The configuration as TOML, every key spelled out."""
    import tomli_w

    return tomli_w.dumps(configuration.model_dump(exclude_none=True))


def _value(key: str, text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word is a string, as on any command line
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{key} is {_shown.repr(text)}, which cannot be read: {error}") from None


def _message(kind: type[BaseModel], fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "missing":
        what = f"the section [{key}]" if len(fault["loc"]) == 1 else key
        return f"{what} is missing"
    if fault["type"] == "literal_error" and isinstance(fault["input"], str):
        words = re.findall(r"'([^']+)'", fault["ctx"]["expected"])
        return f"{key} is {fault['input']!r}; {hint(fault['input'], words)}"
    if fault["type"] != "extra_forbidden":
        return f"{key} is {_shown.repr(fault['input'])}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
    section = kind.model_fields.get(str(fault["loc"][0]))
    model = section.annotation if section is not None and len(fault["loc"]) > 1 else kind
    known = list(getattr(model, "model_fields", {}))
    return f"{key} is not a known key; {hint(str(fault['loc'][-1]), known)}"
