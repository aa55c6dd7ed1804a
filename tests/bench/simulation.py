"""SIMULATION: made-up measurements of a device whose truth is given, to test the advice against.

This is no backend and measures nothing. Documents made here say so (``simulated``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gearshift.bench.batch.analysis.roofline import time_bounds
from gearshift.bench.batch.points import Bound, Point, TimeBound
from gearshift.bench.batch.records import (
    BackendRecord,
    Document,
    Estimate,
    Noise,
    NoiseAt,
    PeakRates,
    Rate,
    Streams,
    Task,
    TrainingRun,
    Trainings,
)
from gearshift.dl.step.costs import FORWARD, INPUTS, WEIGHTS, Cost

BATCHES = [2**power for power in range(17)]


@dataclass(frozen=True)
class Device:
    """The truth of a device.

    Attributes
    ----------
    name : of its made-up backend.
    t0, ts : seconds a step, and seconds a row.
    spread : deviation of the logarithm of a round.
    stray, late : share of the rounds in which something else ran, and how much of a step that costs on average.
    """

    name: str
    t0: float
    ts: float
    spread: float = 0.03
    stray: float = 0.05
    late: float = 0.3

    @property
    def half_peak(self) -> float:
        """n½."""
        return self.t0 / self.ts

    def rounds(self, batch: int, count: int, random: np.random.Generator) -> list[float]:
        """Seconds of a step as they would be measured."""
        return noisy(self.t0 + batch * self.ts, self, count, random)


@dataclass(frozen=True)
class Roof:
    """The truth of a device with three peak_rates, and a dense network on it.

    Attributes
    ----------
    launch : seconds a launch.
    bandwidth : bytes a second.
    peak : floating-point operations a second.
    widths : of the network's layers; Adam, float32.
    """

    launch: float
    bandwidth: float
    peak: float
    widths: tuple[int, ...] = (784, 512, 512, 10)
    spread: float = 0.03
    stray: float = 0.05
    late: float = 0.3

    def costs(self, batch: int) -> list[Cost]:
        """The operations of a step."""
        costs = [Cost("gather", "", "load", 0, 4 * batch * self.widths[0], 4 * batch * self.widths[0])]
        parameters = 0
        for place, (inputs, outputs) in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            flops, layer = 2 * batch * inputs * outputs, str(place)
            x, w, y = 4 * batch * inputs, 4 * inputs * outputs, 4 * batch * outputs
            parameters += inputs * outputs + outputs
            costs.append(Cost("matmul", layer, "forward", flops, x + w, y, product=FORWARD))
            costs.append(Cost("bias_activation", layer, "forward", 2 * batch * outputs, y, y, True))
            costs.append(Cost("bias_activation_backward", layer, "backward", 4 * batch * outputs, 2 * y, y, True))
            costs.append(Cost("matmul", layer, "backward", flops, x + y, w, product=WEIGHTS))
            if place:
                costs.append(Cost("matmul", layer, "backward", flops, y + w, x, product=INPUTS))
        costs.append(Cost("adam", "", "update", 14 * parameters, 16 * parameters, 12 * parameters, True))
        return costs

    def peak_rates(self, random: np.random.Generator | None = None) -> PeakRates:
        """The peak_rates as they would be measured: the truth, or a little less than it by chance."""

        def measured(rate: float) -> float:
            return rate if random is None else rate / (1 + 0.02 * random.exponential())

        sizes = [4**power for power in range(6, 15)]
        return PeakRates(
            products=[
                Rate(layer=str(place), product=product, batch=512, flops_per_second=measured(self.peak))
                for place in range(len(self.widths) - 1)
                for product in (FORWARD, WEIGHTS, INPUTS)
            ],
            streams=[
                Streams(bytes=size, **{name: measured(self.bandwidth) for name in ("read", "write", "update")})
                for size in sizes
            ],
            launches={
                name: 1 / measured(1 / self.launch)
                for name in ("gather", "matmul", "bias_activation", "bias_activation_backward", "adam")
            },
        )

    def bound(self, batch: int) -> Bound:
        """The truth."""
        bound = Point(backend="", batch=batch, time_bounds=self.time_bounds(batch)).bound
        assert bound is not None
        return bound

    def time_bounds(self, batch: int, random: np.random.Generator | None = None) -> list[TimeBound]:
        """Of a step, by the true peak_rates or by measured ones."""
        return time_bounds(self.costs(batch), self.peak_rates(random))

    def rounds(self, batch: int, count: int, random: np.random.Generator) -> list[float]:
        """Seconds of a step as they would be measured, on a device that reaches its peak_rates."""
        return noisy(sum(time_bound.least for time_bound in self.time_bounds(batch)), self, count, random)


def noisy(seconds: float, device: Device | Roof, count: int, random: np.random.Generator) -> list[float]:
    """Rounds around the truth, some of them disturbed."""
    spread = np.exp(device.spread * random.standard_normal(count))
    late = np.where(random.random(count) < device.stray, device.late * random.exponential(size=count), 0)
    return (seconds * spread * (1 + late)).tolist()


def simulate(
    devices: list[Device | Roof],
    noise: float | None = None,
    rows: int = 60_000,
    rounds: int = 7,
    batches: list[int] | None = None,
    seed: int = 0,
) -> Document:
    """A document as a run on these devices would make it, for a task with this noise scale. It says that it is none."""
    random, batches = np.random.default_rng(seed), batches or BATCHES
    points, backends = [], []
    for place, device in enumerate(devices):
        name = device.name if isinstance(device, Device) else f"simulated {place}"
        roof = isinstance(device, Roof)
        peak_rates = device.peak_rates(random) if isinstance(device, Roof) else PeakRates()
        backends.append(BackendRecord(name=name, device="SIMULATION", peak_rates=peak_rates))
        for batch in batches:
            least = time_bounds(device.costs(batch), peak_rates) if roof else []
            points.append(
                Point(backend=name, batch=batch, rounds=device.rounds(batch, rounds, random), time_bounds=least)
            )
    return Document(
        simulated=True,
        machine={"processor": "SIMULATION"},
        task=Task(
            network="SIMULATION", parameters=0, dtype="float32", optimizer="SGD", lr=0.1, data="SIMULATION", rows=rows,
            batch_size=32, epochs=10,
        ),
        asked=batches,
        backends=backends,
        benchmarks=points,
        noise=None if noise is None else _noise(noise),
    )  # fmt: skip


def train(document: Document, scales: np.ndarray, batches: list[int], spread: float, seed: int = 0) -> float:
    """Adds trainings of a task whose noise scale changes on the way; the critical batch size, which is the truth.

    Parameters
    ----------
    scales : (n,) the noise scale in each of n parts of the way that take as many steps at a huge batch: in each, steps
        go as 1 + B/b, so over the whole way with the mean of B.
    spread : deviation of the logarithm of a run's steps.
    """
    random, name = np.random.default_rng(seed), document.backends[0].name
    found = Trainings(backend=name, target=0.1, steps=1000, rows=100)
    for batch in batches:
        for place in range(2):
            steps = float((10 * (1 + scales / batch)).sum() * np.exp(spread * random.standard_normal()))
            run = {"steps": steps, "examples": batch * steps, "seconds": steps, "taken": math.ceil(steps)}
            found.trials.append(TrainingRun(batch=batch, factor=1.0, lr=0.1, seed=place, **run))
    document.trainings = found
    return float(scales.mean())


def _noise(scale: float) -> Noise:
    estimate = Estimate(value=scale, low=0.8 * scale, high=1.25 * scale)
    place = NoiseAt(step=0, loss=1.0, trace=scale, square=1.0, scale=estimate)
    return Noise(backend="SIMULATION", batch=256, draws=8, places=[place], scale=estimate)
