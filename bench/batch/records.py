"""What `gearshift bench` measures, and its JSON file, which `files` writes and reads.

One object a file: this module's `Document`, whose fields are described where they stand. The list ``benchmarks`` has a
record for each backend and batch size, a `Point`, to which the file adds what is computed from it (``step_seconds``,
``samples_per_second``, ``attainable_seconds``, ``bound``, ``share``, ``fault``) and what `pytest-benchmark compare`
reads (``name``, ``group``, ``stats``, …). ``analysis`` holds the advice, ``check`` what `--validate` says of it. All
of these are computed anew when a file is read.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from ..result_files import FORMAT
from .points import Bound, Count, Loop, Number, Point, Record, Rows, Seconds, renamed


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
    peak_rates: Annotated[PeakRates, renamed("peak_rates", "ceilings")] = PeakRates()
    limit: str = ""  # what ended the sweep before the last batch size


class Estimate(Record):
    """A number with its 95 % interval."""

    value: Number
    low: Number
    high: Number

    @classmethod
    def of(cls, value: float, draws: Any) -> Estimate:
        """A number, with the interval that holds 95 % of what was drawn for it."""
        low, high = np.percentile(draws, (2.5, 97.5))
        return cls(value=float(value), low=float(low), high=float(high))


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

    def find(self, backend: str, batch: int) -> Point | None:
        """The point of a backend at a batch size, if there is one."""
        return next((one for one in self.benchmarks if (one.backend, one.batch) == (backend, batch)), None)

    def backend(self, name: str) -> BackendRecord:
        """A backend's record."""
        return next(one for one in self.backends if one.name == name)
