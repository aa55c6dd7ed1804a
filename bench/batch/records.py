"""What `gearshift bench` measures, and its JSON file, which `files` writes and reads.

One object a file: this module's `Document`, whose fields are described where they stand. The list ``benchmarks`` has a
record for each backend and batch size, a `Point`, to which the file adds what is computed from it (``step_seconds``,
``samples_per_second``, ``attainable_seconds``, ``bound``, ``share``, ``fault``) and what `pytest-benchmark compare`
reads (``name``, ``group``, ``stats``, …). ``analysis`` holds the advice, ``check`` what `--validate` says of it. All
of these are computed anew when a file is read.
"""

from __future__ import annotations

import statistics
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..quartiles import quartiles

FORMAT = 1
SLACK = 1.05  # a share beyond it means that a peak rate is wrong

Bound = Literal["compute", "memory", "launch"]
BOUNDS: tuple[Bound, ...] = ("compute", "memory", "launch")
Number = Annotated[float, Field(ge=-1e100, le=1e100)]
Seconds = Annotated[float, Field(ge=1e-12, le=1e12)]
Count = Annotated[int, Field(ge=0, lt=2**62)]
Rows = Annotated[int, Field(ge=1, lt=2**31)]
REFERENCE_KINDS = ("calls", "arithmetic", "memory")
ENOUGH = 3  # undisturbed rounds that a comparison needs


def _renamed(*names: str) -> Any:
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
    disturbances: Annotated[list[Disturbance], _renamed("disturbances", "witnesses")] = []  # of each round, or empty
    disturbed: list[bool] = []  # which rounds do not count
    epochs: list[Seconds] = []  # seconds of whole epochs; empty beyond the data's rows, or beyond the time there was
    time_bounds: Annotated[list[TimeBound], _renamed("time_bounds", "floors")] = []
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


class Rate(Record):
    """The fastest product of some shape."""

    layer: str
    product: str  # "forward", "weight gradient", "input gradient"
    batch: Rows
    flops_per_second: Number


class Streams(Record):
    """Bytes a second of passes over arrays of so many bytes in all."""

    bytes: Count
    read: Number
    write: Number
    update: Number  # in place: every byte counts twice


class PeakRates(Record):
    """What the device does at best, measured in the same process on the same call path."""

    products: list[Rate] = []
    streams: list[Streams] = []
    launches: dict[str, Number] = {}  # seconds of a call that has next to nothing to do, by operation
    arithmetic: dict[str, Number] = {}  # FLOP/s of compiled updates on data in the first-level cache, by operation


class BackendRecord(Record):
    """A backend, and how far its sweep went."""

    name: str
    device: str = ""
    threads: dict[str, Count] = {}
    loop: Loop = "graph"  # operation by operation from Python, or compiled steps
    peak_rates: Annotated[PeakRates, _renamed("peak_rates", "ceilings")] = PeakRates()
    limit: str = ""  # what ended the sweep before the last batch size


class Estimate(Record):
    """A number with its 95 % interval."""

    value: Number
    low: Number
    high: Number


class NoiseAt(Record):
    """The gradient's noise at one place of a training run."""

    step: Count
    loss: Number
    trace: Number  # tr Σ, of one example's gradient
    square: Number  # |G|², of the true gradient
    scale: Estimate  # tr Σ / |G|², in rows
    adam: Estimate | None = None  # the same of gradients divided by the root of Adam's √v̂ + ε
    layers: dict[str, Number] = {}


class Noise(Record):
    """The gradient noise scale along a short training run."""

    backend: str
    batch: Rows  # rows of a draw
    draws: Count  # at each place
    places: list[NoiseAt] = Field(min_length=1)
    scale: Estimate  # over the run
    adam: Estimate | None = None


class TrainingRun(Record):
    """One training run towards the target loss."""

    batch: Rows
    factor: Number  # of the learning rate that the rule gives
    lr: Number
    seed: Count
    steps: Number | None  # to the target; None if the run was ended before
    examples: Number | None
    seconds: Number | None
    taken: Count  # steps


class Trainings(Record):
    """Training to one loss at several batch sizes."""

    backend: str
    target: Number  # loss
    steps: Count  # in which the configured batch size and learning rate came to it
    rows: Count  # of the training data, on which the loss was looked at
    trials: list[TrainingRun] = []
    ended: str = ""  # why batch sizes are missing


class Validation(Trainings):
    """Those of `--validate`."""

    advised: Rows  # batch size


class Proof(Record):
    """A step with one thing changed: its time by that of the step as it was."""

    backend: str
    batch: Rows
    bound: Bound | None  # of the step as it was
    change: str
    low: Number  # predicted by the peak rates of both: where what is lost beyond them stays, and where it changes alike
    high: Number
    measured: Number
    fault: str = ""  # why the prediction means nothing


class SeparatedStep(Record):
    """A step whose update waits until all gradients are known, as on several devices."""

    batch: Rows
    seconds: Seconds


class Workers(Record):
    """What a forecast for several devices needs besides the step times and the critical batch size."""

    backend: str
    workers: list[Rows] = Field(min_length=1)  # numbers of devices
    bytes: Annotated[int, Field(ge=1, lt=2**62)]  # of the gradients
    latency: Annotated[float, Field(ge=0, le=1e3)]  # seconds of a message
    bytes_per_second: Annotated[float, Field(ge=1, le=1e18)]
    measured: bool  # between two processes of this machine, and not given by the user
    steps: list[SeparatedStep] = []  # empty if steps of one device are of this kind, too


class Task(Record):
    """What is trained."""

    network: str
    parameters: Count
    dtype: str
    optimizer: str
    lr: Number
    data: str
    rows: Rows
    batch_size: Rows
    epochs: Rows
    schedule: str = "constant"
    schedule_steps: Count = 0
    warmup: Count = 0


class Document(Record):
    """A whole run."""

    format: Count = FORMAT
    simulated: bool = False  # made up by a test, not measured
    machine: dict[str, Any] = {}
    task: Task
    configuration: dict[str, Any] = {}
    asked: list[Rows] = []  # batch sizes
    spent_seconds: Number = 0.0
    backends: list[BackendRecord] = []
    benchmarks: list[Point] = []
    noise: Noise | None = None
    noise_absent: str = ""  # why there is none
    trainings: Trainings | None = None  # short ones, that measure the critical batch size
    validation: Validation | None = None
    validation_absent: str = ""  # why there is none, where it was asked for
    proofs: list[Proof] = []
    workers: Workers | None = None

    def of(self, backend: str) -> list[Point]:
        """The points of a backend that were measured, by batch size."""
        found = [point for point in self.benchmarks if point.backend == backend and point.rounds]
        return sorted(found, key=lambda point: point.batch)

    def backend(self, name: str) -> BackendRecord:
        """A backend's record."""
        return next(one for one in self.backends if one.name == name)
