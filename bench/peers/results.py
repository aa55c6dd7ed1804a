"""The results, and their JSON file.

The file holds one object:

- ``format``: 1.
- ``machine``: ``processor``, ``cores``, ``system``, ``python``, ``versions`` of the packages that matter, and
  ``settings`` of each contender's process (threads of its pools, say).
- ``absent``: the command that installs it, for each contender that is not installed.
- ``points``: a list of objects with
  ``measure`` (``"step"``, on a batch that stays in memory, ``"epoch"``, end to end with shuffling, ``"model"``, epochs
  of a general model, or ``"ranks"``, epochs of two processes of a thread each and of one process with two threads),
  ``network`` (or model),
  ``batch`` (rows), ``rows`` (of an epoch; of a step, the batch's), ``real`` (whether an epoch's rows are Fashion-MNIST
  rather than random bytes), and ``results``: for each contender
  ``seconds`` (of one step or one epoch, in each round; the same place is the same round in all contenders),
  ``median``, ``quartiles`` (of ``seconds``), ``steps`` (averaged over in a round), ``losses`` (of the first steps from
  equal weights on equal batches; of an epoch one, that of the data set's first rows after all rounds; of a
  model one, that of the first epoch), and ``fault``
  (why it does not count; empty if it does), and ``how`` (threads and units, if it chose them by measurement).

The contender ``reference`` is the reference workload: only the matrix products and memory passes of a step. ``peak``
does the products' operations alone, at the CPU's peak.
"""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from .. import result_files
from ..quartiles import quartiles
from .contender import ENTRIES

OLDER_NAMES = {"yardstick": "reference"}  # contenders of older files


def _known(name: str) -> str:
    name = OLDER_NAMES.get(name, name)
    if name not in ENTRIES:
        raise ValueError(f"contender {name!r} is not known")
    return name


Name = Annotated[str, AfterValidator(_known)]
"""Of a contender."""
Seconds = Annotated[float, Field(ge=1e-12, le=1e12)]
Rows = Annotated[int, Field(ge=1, lt=2**31)]


def _loss(value: float) -> float:
    if math.isfinite(value) and abs(value) > 1e100:
        raise ValueError("a loss is above 1e100")
    return value


def _with_versions(machine: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(machine.get("versions", {}), dict):
        raise ValueError("its versions are no object")
    return machine


Loss = Annotated[float, AfterValidator(_loss)]


@dataclass
class Result:
    """What one contender did at one point; fields as in the file."""

    seconds: list[Seconds] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    steps: Rows = 1
    fault: str = ""
    how: str = ""

    @property
    def counts(self) -> bool:
        """Whether it was measured, without a fault."""
        return bool(self.seconds) and not self.fault

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between them lies the middle half of the rounds."""
        return quartiles(self.seconds)


@dataclass
class PeersPoint:
    """One network at one batch size; fields as in the file."""

    measure: Annotated[str, Field(pattern="^(step|epoch|model|ranks)$")]
    network: str
    batch: Rows
    rows: Rows
    results: dict[Name, Result] = field(default_factory=dict)
    real: bool = True

    @model_validator(mode="after")
    def _alike(self) -> Self:
        """Losses are of the same steps, and so as many."""
        counts = {len(result.losses) for result in self.results.values() if result.losses}
        if len(counts) > 1:
            raise ValueError(f"some contenders have {min(counts)} losses, others {max(counts)}")
        return self


@dataclass
class Measurement:
    """A whole run; fields as in the file."""

    machine: Annotated[dict[str, Any], AfterValidator(_with_versions)] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    points: list[PeersPoint] = field(default_factory=list)

    def at(self, measure: str) -> list[PeersPoint]:
        """The points of a measure."""
        return [point for point in self.points if point.measure == measure]


def text(measurement: Measurement) -> str:
    """The file's text: one JSON object."""
    document = {"format": result_files.FORMAT, **asdict(measurement)}
    for point, record in zip(measurement.points, document["points"], strict=True):
        for name, result in point.results.items():
            if result.seconds:
                record["results"][name] |= {"median": result.median, "quartiles": result.quartiles}
    return json.dumps(document, indent=1)


def write(measurement: Measurement, path: Path) -> None:
    """Writes the file, whole or not at all."""
    result_files.write(text(measurement), path)


def read(path: Path) -> Measurement:
    """Reads the file.

    Raises
    ------
    DataError
        It is no such file.
    """
    return result_files.read(path, "peers", Measurement, finite=False)
