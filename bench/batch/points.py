"""What `gearshift bench` measures at one batch size: a `Point`, with the values that its fields may have."""

from __future__ import annotations

import statistics
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..quartiles import quartiles

SLACK = 1.05  # a share beyond it means that a peak rate is wrong

Bound = Literal["compute", "memory", "launch"]
BOUNDS: tuple[Bound, ...] = ("compute", "memory", "launch")
OTHER = "other"  # the time of a step beyond its time bounds
Number = Annotated[float, Field(ge=-1e100, le=1e100)]
Seconds = Annotated[float, Field(ge=1e-12, le=1e12)]
Count = Annotated[int, Field(ge=0, lt=2**62)]
Rows = Annotated[int, Field(ge=1, lt=2**31)]
REFERENCE_KINDS = ("calls", "arithmetic", "memory")
ENOUGH = 3  # undisturbed rounds that a comparison needs


def renamed(*names: str) -> Any:
    """A field that older files call by another name; the first name is the field's."""
    return Field(validation_alias=AliasChoices(*names))


OLDER_LOOPS = {"list": "graph", "chain": "compiled"}  # the names of older files
Loop = Annotated[Literal["graph", "compiled"], BeforeValidator(lambda name: OLDER_LOOPS.get(str(name), name))]


class Record(BaseModel):
    """Base: unknown keys are those that are computed anew."""

    model_config = ConfigDict(extra="ignore")


class TimeBound(Record):
    """One operation of a step, and the least time that it can take."""

    operation: str
    layer: str
    phase: str
    flops: Count
    bytes: Count  # read and written at the least
    compute: Number  # seconds, by each of the three peak rates
    memory: Number
    launch: Number
    seconds: Number | None = None  # that it took inside a step; None if a step is compiled

    @property
    def least(self) -> float:
        """Seconds by the peak rate that holds it back most."""
        return max(self.compute, self.memory, self.launch)

    @property
    def bound(self) -> Bound:
        """That peak rate."""
        return max(BOUNDS, key=lambda name: getattr(self, name))


class Disturbance(Record):
    """What else the machine did during a round."""

    waited: Number = 0.0  # time in which threads had no processor, those of all added up, by the round's
    calls: Number = 0.0  # seconds of reference work, the greater of before and after; 0 if it was not timed
    arithmetic: Number = 0.0
    memory: Number = 0.0


class Point(Record):
    """One backend at one batch size."""

    backend: str
    batch: Rows
    rounds: list[Seconds] = []  # seconds per step, in each round
    disturbances: Annotated[list[Disturbance], renamed("disturbances", "witnesses")] = []  # of each round, or empty
    disturbed: list[bool] = []  # which rounds do not count
    epochs: list[Seconds] = []  # seconds of whole epochs; empty beyond the data's rows, or beyond the time there was
    time_bounds: Annotated[list[TimeBound], renamed("time_bounds", "floors")] = []
    memory_bytes: Count = 0  # activations and workspace

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        """Rounds without a record of disturbances count as undisturbed."""
        missing = len(self.rounds) - len(self.disturbances)
        self.disturbances = [Disturbance()] * missing + self.disturbances
        self.disturbed = [False] * (len(self.rounds) - len(self.disturbed)) + self.disturbed
        if not len(self.rounds) == len(self.disturbances) == len(self.disturbed):
            raise ValueError("there are more disturbances than rounds")
        return self

    def add(self, seconds: float, disturbance: Disturbance) -> None:
        """Another round."""
        self.rounds.append(seconds)
        self.disturbances.append(disturbance)
        self.disturbed.append(False)

    @property
    def undisturbed(self) -> list[float]:
        """Seconds of the rounds during which the machine did nothing else."""
        return [seconds for seconds, out in zip(self.rounds, self.disturbed, strict=True) if not out]

    @property
    def counted(self) -> list[float]:
        """The same, or of all rounds where each was disturbed."""
        return self.undisturbed or self.rounds

    @property
    def unsure(self) -> bool:
        """Whether too few rounds were undisturbed to compare this with anything."""
        return any(self.disturbed) and len(self.undisturbed) < ENOUGH

    @property
    def step_seconds(self) -> float:
        """The median of the rounds that count."""
        return statistics.median(self.counted)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between them lies the middle half of the rounds that count."""
        return quartiles(self.counted)

    @property
    def samples_per_second(self) -> float:
        """Of steps."""
        return self.batch / self.step_seconds

    @property
    def attainable_seconds(self) -> float:
        """The sum of the operations' time bounds."""
        return sum(time_bound.least for time_bound in self.time_bounds)

    @property
    def bound_seconds(self) -> dict[Bound, float]:
        """Its parts by what holds the operations back."""
        return {
            name: sum(time_bound.least for time_bound in self.time_bounds if time_bound.bound == name)
            for name in BOUNDS
        }

    @property
    def bound(self) -> Bound | None:
        """The class with the most of the attainable time; None if no time bounds were measured."""
        parts = self.bound_seconds
        return max(BOUNDS, key=lambda name: parts[name]) if self.time_bounds else None

    @property
    def limit(self) -> str | None:
        """What takes most of a step: a bound, or `OTHER`; None if no time bounds were measured."""
        if self.bound is None:
            return None
        rest = self.step_seconds - self.attainable_seconds
        return self.bound if self.bound_seconds[self.bound] > rest else OTHER

    @property
    def share(self) -> float | None:
        """Attainable time by the step's."""
        return self.attainable_seconds / self.step_seconds if self.time_bounds else None

    @property
    def fault(self) -> str:
        """Why the share means nothing: it is above 1.05 even in the slower rounds. Empty if it does."""
        share = self.share
        if share is None or share <= SLACK or self.attainable_seconds <= SLACK * self.quartiles[1]:
            return ""
        return f"a peak rate is wrong: the step is {share:.2f} times faster than its time bound"
