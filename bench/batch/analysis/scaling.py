"""Predicts how many devices are worth it: the time to the target on n devices that share each batch. Pure functions.

A step of n devices on a batch of b rows takes t(b/n) + a(n): each device computes its share, and the gradients are
all-reduced. Training takes S_min (1 + B/b) steps with the critical batch size B (McCandlish et al. 2018), so the time
is T(n) = min over b of S_min (1 + B/b) (t(b/n) + a(n)). An all-reduce of s bytes takes
a(n) = 2 ⌈log₂ n⌉ α + 2 (n − 1)/n s/β with the latency α and the rate β (Rabenseifner's algorithm; Thakur et al. 2005).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..records import Document, Estimate
from .analyse import critical_batch, curve_of, measured_hyperbola
from .curve import Curve

SAVING = 0.1  # twice the devices are worth it if they save at least this part of the time
GRID = 400  # batch sizes that are tried
NAMED = 1 / 3  # a cause with at least this part of the loss is named
CAUSES = {
    "noise": "gradient noise",
    "device": "shares that no longer fill a device",
    "network": "the network",
    "waiting": "updates that wait for the gradients",
}


@dataclass(frozen=True)
class Link:
    """Latency of a message in seconds, and bytes per second."""

    latency: float
    rate: float

    def allreduce(self, size: float, devices: int) -> float:
        """Seconds of an all-reduce of `size` bytes between `devices` devices."""
        if devices == 1:
            return 0.0
        turns = math.ceil(math.log2(devices))
        return 2 * turns * self.latency + 2 * (devices - 1) / devices * size / self.rate


@dataclass(frozen=True)
class Forecast:
    """Training on some devices at the best batch size for them.

    Attributes
    ----------
    batch : rows of a batch, all devices together.
    step, exchange : seconds of a step, and of them for the all-reduce.
    cost : time to the target, divided by S_min.
    noise, device, network, waiting : by which factor more examples are needed than at the smallest batch size, a row
        takes longer than on a full device, a step takes longer because of the all-reduce, and a step whose update waits
        for the gradients takes longer than one of a single device. Their product, divided by the number of devices, is
        the time.
    """

    devices: int
    batch: float
    step: float
    exchange: float
    cost: float
    noise: float
    device: float
    network: float
    waiting: float


@dataclass(frozen=True)
class Scaling:
    """How the time to the target falls with the number of devices.

    Attributes
    ----------
    points : the asked numbers of devices.
    worthwhile : the first number of devices of which twice as many save less than a tenth; None if it is larger than
        all asked ones.
    low, high : the same for the ends of the critical batch size's interval.
    causes : why, the most important first: keys of `CAUSES`.
    steps : S_min, where trainings measured it.
    """

    backend: str
    points: list[Forecast]
    worthwhile: int | None
    low: int | None
    high: int | None
    causes: list[str]
    steps: float | None = None

    def speedup(self, point: Forecast) -> float:
        """How many times faster than the first point it reaches the target."""
        return self.points[0].cost / point.cost

    def efficiency(self, point: Forecast) -> float:
        """The speed-up divided by the devices."""
        return self.speedup(point) * self.points[0].devices / point.devices


@dataclass(frozen=True)
class Cluster:
    """What a forecast is made from.

    Attributes
    ----------
    one, several : seconds of a step by the rows of a device, on one device and on one of several, whose update waits
        for the gradients of all.
    critical : the critical batch size, in rows.
    network : between the devices.
    size : bytes of the gradients.
    rows : of the training data.
    """

    one: Curve
    several: Curve
    critical: float
    network: Link
    size: float
    rows: int

    def forecast(self, devices: int) -> Forecast:
        """The best batch size for `devices` devices, and what limits it."""
        measured = self.one if devices == 1 else self.several
        first = devices * measured.batches[0]
        last = max(first, min(devices * measured.batches[-1], self.rows))
        batches = np.exp(np.linspace(math.log(first), math.log(last), GRID))
        exchange = self.network.allreduce(self.size, devices)
        work = np.interp(batches / devices, measured.batches, measured.seconds)  # exact for t0 + b·ts
        costs = (1 + self.critical / batches) * (work + exchange)
        best = int(np.argmin(costs))
        batch, own = float(batches[best]), float(work[best])
        full, alone = (float(np.min(curve.seconds / curve.batches)) for curve in (measured, self.one))
        return Forecast(
            devices,
            batch,
            own + exchange,
            exchange,
            float(costs[best]),
            1 + batch / self.critical,
            own * devices / batch / full,
            (own + exchange) / own,
            full / alone,
        )

    def worthwhile(self, most: int) -> int | None:
        """The first number of devices of which twice as many save less than a tenth; None if it is above `most`.

        It is 1 if that many would not save a tenth either. Two alone may not, though many do: their steps wait.
        """
        for devices in np.unique(np.geomspace(min(2, most), most, GRID).round().astype(int)).tolist():
            cost = self.forecast(devices).cost
            if 2 * devices > self.rows or self.forecast(2 * devices).cost > (1 - SAVING) * cost:
                return devices if cost <= (1 - SAVING) * self.forecast(1).cost else 1
        return None

    def causes(self, devices: int) -> list[str]:
        """Why twice as many devices are not twice as fast, the most important cause first."""
        before, after = self.forecast(devices), self.forecast(2 * devices)
        growth = {name: math.log(getattr(after, name) / getattr(before, name)) for name in CAUSES}
        total = sum(max(0.0, part) for part in growth.values())
        found = sorted(growth, key=lambda name: -growth[name])
        return [name for name in found if total and growth[name] >= NAMED * total]


def scaling(cluster: Cluster, workers: Sequence[int], interval: Estimate | None = None, backend: str = "") -> Scaling:
    """The forecast for numbers of devices, of which none exceeds the rows.

    `interval` has the ends of the critical batch size's interval.
    """
    possible = [devices for devices in workers if devices <= cluster.rows]
    most = max(possible)

    found, ends = cluster.worthwhile(most), (interval.low, interval.high) if interval else (cluster.critical,) * 2
    low, high = (replace(cluster, critical=max(1.0, end)).worthwhile(most) for end in ends)
    causes = cluster.causes(max(1, min(found or most, cluster.rows // 2)))
    return Scaling(backend, [cluster.forecast(devices) for devices in possible], found, low, high, causes)


def of_document(document: Document) -> Scaling | None:
    """The forecast for a run of `gearshift bench --workers`; None if it lacks step times or a critical batch size."""
    record, critical = document.workers, critical_batch(document)
    measured = curve_of(document, record.backend) if record else None
    if record is None or critical is None or measured is None:
        return None
    network = Link(record.latency, record.bytes_per_second)
    value = max(1.0, critical.value)
    several = separated(measured, [step.batch for step in record.steps], [step.seconds for step in record.steps])
    cluster = Cluster(measured, several, value, network, record.bytes, document.task.rows)
    shape = measured_hyperbola(document)
    found = scaling(cluster, record.workers, critical, record.backend)
    return replace(found, steps=shape.steps if shape else None)


def separated(measured: Curve, batches: Sequence[int], seconds: Sequence[float]) -> Curve:
    """The curve of steps whose update waits for the gradients, from a few of them and the curve of other steps."""
    if not batches:
        return measured
    ratios = np.log(np.asarray(seconds) / measured.at(np.asarray(batches, float)))
    factor = np.exp(np.interp(np.log(measured.batches), np.log(batches), ratios))
    return Curve(measured.batches, measured.seconds * factor, measured.error)
