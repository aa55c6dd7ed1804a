"""The sections of a configuration and their keys, checked by pydantic."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from ..hints import hint
from ..optimizers.base import Optimizer
from ..optimizers.schedules import schedules
from .choices import ActivationName, InitName, LossChoice, LossName, OptimizerName, ScheduleName

Count = Annotated[int, Field(ge=1, lt=2**31)]
Whole = Annotated[int, Field(ge=0, lt=2**31)]

STEPS = 2**40  # an upper limit for counts; larger ones do not fit into a float


class Section(BaseModel):
    """Base of the sections: unknown keys, wrong types and non-finite numbers are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class BackendSection(Section):
    """The backend."""

    name: str = Field(default="auto", min_length=1)


class DataSection(Section):
    """The data."""

    source: str = Field(default="digits", min_length=1)
    length: Count = 64
    validation: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.2, ge=0, lt=1)
    target: str | list[str] = ""
    weight: str = ""
    drop: list[str] = []
    categorical: list[str] = []
    categories: int = Field(default=20, ge=2, lt=2**31)
    missing: Literal["error", "mean", "drop"] = "error"
    separator: str = ""
    decimal: Literal["", ".", ","] = ""
    encoding: str = ""
    labels: Literal["auto", "classes", "values"] = "auto"
    folder: str = ""
    fetch: bool = False
    standardize: bool = True
    standardize_target: bool = True


class LayerSection(BaseModel):
    """A layer of a graph: its class, arguments (checked by the class), inputs and inner layers."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    name: str = ""
    kind: str = ""
    shares: str = ""
    inputs: list[str] = []
    layers: list[LayerSection] = []


class ModelSection(Section):
    """An MLP or, if there are `layers`, a graph."""

    hidden: list[Count] = [256]
    activation: ActivationName = "relu"
    pieces: Count = 2
    batch_norm: bool = False
    dropout: float = Field(default=0.2, ge=0, lt=1)
    init: InitName = "auto"
    dtype: Literal["float32", "float64"] = "float32"
    inputs: dict[str, Count] = {}
    layers: list[LayerSection] = []

    @model_validator(mode="after")
    def _inputs_are_read(self) -> ModelSection:
        if self.inputs and not self.layers:
            raise ValueError("inputs name parts of the features for layers to read, and there are no layers")
        return self


class AutoencoderSection(Section):
    """An autoencoder with the hidden layers and activation of ``[model]``; `weight` 0 is the kind's default."""

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
    """The loss of one of several outputs."""

    loss: LossName = "MSELoss"
    outputs: Count = 1
    weight: float = Field(default=1.0, gt=0)


class LossSection(Section):
    """The loss; with `heads`, the weighted sum of their losses."""

    name: LossChoice = "auto"
    heads: dict[str, HeadSection] = {}

    @model_validator(mode="after")
    def _one_or_several(self) -> LossSection:
        if self.heads and self.name not in ("auto", "JointLoss"):
            raise ValueError(f"There is a loss, {self.name}, and there are heads, each with its own; set one of them")
        if self.name == "JointLoss" and not self.heads:
            raise ValueError("JointLoss needs heads, as [loss.heads.kind]")
        return self


class GroupSection(Section):
    """Parameters with a separate learning rate or weight decay."""

    names: str
    lr: float | None = Field(default=None, ge=0)
    weight_decay: float | None = Field(default=None, ge=0)


class OptimizerSection(BaseModel):
    """An optimizer and its arguments, which its class checks."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)
    name: OptimizerName = "Adam"
    lr: float = Field(default=1e-3, gt=0)
    groups: list[GroupSection] = []

    @model_validator(mode="before")
    @classmethod
    def _own_rate(cls, given: Any) -> Any:
        """Fills in the optimizer's default if there is no learning rate."""
        name = given.get("name") if isinstance(given, dict) else None
        if isinstance(name, str) and name in Optimizer.registered and "lr" not in given:
            rate = inspect.signature(Optimizer.registered[name]).parameters.get("lr")
            if rate is not None and rate.default is not rate.empty:
                return {**given, "lr": rate.default}
        return given


class ScheduleSection(BaseModel):
    """The schedule of the learning rate. Its class checks further arguments."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)
    name: ScheduleName = "constant"
    warmup: int = Field(default=0, ge=0, le=STEPS)
    steps: int = Field(default=0, ge=0, le=STEPS)
    final: float = Field(default=0.0, ge=0)
    gamma: float = Field(default=0.1, gt=0)
    delta: float = Field(default=1e-3, gt=0)
    power: float = Field(default=1.0, gt=0.5, le=1)
    hold: int = Field(default=0, ge=0, le=STEPS)

    @model_validator(mode="before")
    @classmethod
    def _own_final(cls, given: Any) -> Any:
        """Fills in the schedule's default if there is no final factor."""
        name = given.get("name") if isinstance(given, dict) else None
        if isinstance(name, str) and name in schedules() and "final" not in given:
            final = inspect.signature(schedules()[name]).parameters.get("final")
            if final is not None and final.default is not final.empty:
                return {**given, "final": float(final.default)}
        return given

    @model_validator(mode="after")
    def _takes_its_keys(self) -> ScheduleSection:
        kind, own = schedules()[self.name], list(type(self).model_fields)
        accepted = list(inspect.signature(kind).parameters)
        for key in self.model_extra or {}:
            if key not in accepted:
                text = f"schedule.{key} is not a known key; {hint(key, list(dict.fromkeys([*own, *accepted])))}"
                raise PydanticCustomError("unknown_key", "{text}", {"text": text})
        return self

    @model_validator(mode="after")
    def _has_steps(self) -> ScheduleSection:
        if self.name == "step" and not self.steps:
            raise ValueError("steps is 0, but the schedule 'step' decays every so many steps; expected at least 1")
        return self


class TrainSection(Section):
    """Epochs, batches and other settings of the training."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    epochs: Count = 60
    batch_size: Count = 32
    patience: Whole = 0
    monitor: str = "validation_loss"
    min_delta: float = Field(default=0.0, ge=0)
    metrics: list[str] = []
    order: Literal["shuffled", "once", "replacement"] = "shuffled"
    accumulate: Count = 1
    loss_goal: float = Field(default=0.0, ge=0)
    class_weight: Literal["none", "balanced"] | list[float] | dict[str, float] = "none"
    clip_norm: float = Field(default=0.0, ge=0)
    clip_value: float = Field(default=0.0, ge=0)
    l1: float = Field(default=0.0, ge=0)
    soft_threshold: float = Field(default=0.0, ge=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    precision: Literal["auto", "float32", "tf32", "bfloat16", "float16", "float64"] = "auto"

    @model_validator(mode="after")
    def _parts_of_a_batch(self) -> TrainSection:
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate is {self.accumulate}, the parts of a batch, but batch_size is {self.batch_size}; "
                "a part has at least one row"
            )
        return self


class WatchSection(Section):
    """Further values of each epoch's record, computed on `rows` training rows; and flat stretches."""

    gradient_norms: bool = False
    curvature: bool = False
    rows: Count = 1000
    flat_epochs: Whole = 0
    restart: bool = False


class CheckpointSection(Section):
    """When to save the run, in addition to the end of each epoch."""

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
    """Parameters of all candidates of a search, which the estimator checks."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class SearchRange(Section):
    """The range of a parameter in a random search, uniform or log-uniform."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


KINDS = {list: "<list>", dict: "<range>", SearchRange: "<range>"}  # tags of a union
SearchValues = Annotated[
    Annotated[list[Any], Tag("<list>")] | Annotated[SearchRange, Tag("<range>")],
    Discriminator(
        lambda value: KINDS.get(type(value)),
        custom_error_type="search_values",
        custom_error_message="expected a list, as [0.1, 0.01], or a range, as {low = 1e-4, high = 0.1}",
    ),
]


class SearchSection(Section):
    """The candidates, and how they are compared."""

    method: Literal["grid", "random"] = "grid"
    candidates: Count = 20
    folds: int = Field(default=5, ge=2, lt=2**31)
    scoring: str = ""
    jobs: Count = 1
    seed: int = Field(default=0, ge=0, lt=2**32)
    parameters: dict[str, SearchValues] = Field(min_length=1)


class SearchConfiguration(Section):
    """The configuration of ``gearshift search``."""

    backend: BackendSection = BackendSection()
    data: DataSection = DataSection()
    estimator: EstimatorSection = EstimatorSection()
    search: SearchSection
