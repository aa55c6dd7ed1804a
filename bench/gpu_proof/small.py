"""Part 6: do fewer launches make small networks faster? A launch a phase, and one cooperative launch, beside the list.

What is expected on an H200, and from what, is in docs/gpu.md. The cooperative kernels run last: a barrier that some
block never reached would hang, and what was found before is on disk by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...backends import Backend
from ...dl.optimizers.adam import Adam
from ...kernels.advance import ADVANCE
from ..peers.networks import BETAS, EPS, LR, Network, batch, parse, weights
from . import cooperative, small_step
from .plot import steps_picture
from .report import Check, Report
from .scale import Scale
from .small_step import COUNTERS, GRID_BARRIERS, SCORES, SMALL_PHASE, SMALL_STEP, M, P, V
from .steps import Steps
from .timing import device_seconds, wall_seconds

MOST_ROWS, NETWORKS = 128, 2
TABLE, TOGETHER = 1024, 16  # steps until the counters start anew; steps of a captured graph, as in dl/capture.py
BARRIERS = 100
OFF = 1e-2  # of a result's norm: a ReLU whose input float32 puts on the other side of 0 changes a gradient
FASTER, TIE = 1.25, 0.95  # what comes in is so much faster up to batch 32, and nowhere slower than this
LIST, PHASES, ONE, SEVERAL = "the list", "a launch a phase", "one launch a step", f"one launch of {TOGETHER} steps"

Launches = dict[int, Callable[[], None]]
Make = Callable[[Backend, list[Any], dict[str, Any]], Launches]


def run(report: Report, backend: Backend, scale: Scale) -> None:
    """All checks of the part."""
    networks = [text for text in scale.networks if not small_step.refusal(parse(text))][:NETWORKS]
    points = [(text, rows) for text in networks for rows in scale.batch_sizes if rows <= MOST_ROWS]
    if scale.rounds == 1:
        del points[1:]  # a rehearsal
    timed: dict[str, dict[str, dict[int, float]]] = {}
    for text, rows in points:
        if f"{PHASES}: {text}, batch {rows}" in report.broken:
            continue
        with report.check(f"{PHASES}: {text}, batch {rows}") as check:
            network = parse(text)
            agreement(check, backend, network, rows, phases)
            compare(check, backend, scale, network, rows, {PHASES: phases}, timed)
    with report.check("a barrier of the grid") as check:
        arrived = backend.zeros(1, np.uint32)
        barriers = cooperative.bind(backend, GRID_BARRIERS, [arrived], {"count": BARRIERS})
        check["seconds"] = device_seconds(backend, scale, barriers) / BARRIERS
    for text, rows in points:
        if f"one cooperative launch: {text}, batch {rows}" in report.broken:
            continue
        with report.check(f"one cooperative launch: {text}, batch {rows}") as check:
            network = parse(text)
            agreement(check, backend, network, rows, one)
            same_bits(check, backend, network, rows)
            compare(check, backend, scale, network, rows, {PHASES: phases, ONE: one, SEVERAL: several}, timed)
    with report.check("what comes into the library") as check:
        for name in PHASES, ONE, SEVERAL:
            check[name] = verdict(timed, name)
    with report.check("picture of the steps"):
        steps_picture(report.folder / f"part-{report.part}.png", timed)


def phases(backend: Backend, arrays: list[Any], given: dict[str, Any]) -> Launches:
    """Ordinary launches: a phase each, and the counters' advance."""
    calls = [backend.bind(SMALL_PHASE, arrays, {**given, "phase": phase}) for phase in range(2 * given["layers"])]
    calls.append(backend.bind(ADVANCE, [arrays[COUNTERS], arrays[SCORES]], {}))

    def step() -> None:
        for call in calls:
            call()

    return {TOGETHER: repeated(step), 1: step}


def one(backend: Backend, arrays: list[Any], given: dict[str, Any]) -> Launches:
    """A cooperative launch a step."""
    step = cooperative.bind(backend, SMALL_STEP, [*arrays, backend.zeros(1, np.uint32)], {**given, "steps": 1})
    return {TOGETHER: repeated(step), 1: step}


def several(backend: Backend, arrays: list[Any], given: dict[str, Any]) -> Launches:
    """A cooperative launch of several steps."""
    there = [*arrays, backend.zeros(1, np.uint32)]
    return {n: cooperative.bind(backend, SMALL_STEP, there, {**given, "steps": n}) for n in (TOGETHER, 1)}


def repeated(step: Callable[[], None]) -> Callable[[], None]:
    """As many steps as a graph holds."""

    def together() -> None:
        for _ in range(TOGETHER):
            step()

    return together


class Few:
    """Steps of a network on one batch, captured and replayed."""

    def __init__(self, backend: Backend, network: Network, rows: int, make: Make, eps: float = EPS) -> None:
        optimizer = Adam(lr=LR, betas=BETAS, eps=eps)
        table = np.array([optimizer.constants(step, LR) for step in range(TABLE)])
        host = small_step.arrays(network, weights(network), *batch(network, rows), table)
        self.backend, self.arrays, self.row = backend, [backend.asarray(array) for array in host], 0
        self.begin = [array.copy() for array in self.arrays]
        launches = make(backend, self.arrays, small_step.attributes(network))
        for launch in launches.values():
            launch()  # loads the kernel, which a capture forbids
        self.launches = {steps: backend.capture(launch) for steps, launch in launches.items()}
        self.reset()

    def reset(self) -> None:
        """Goes back to the first step."""
        self.row = 0
        for array, value in zip(self.arrays, self.begin, strict=True):
            array[...] = value

    def run(self, steps: int) -> None:
        """Runs steps and waits for the device."""
        while steps:
            if self.row == TABLE:
                self.row, self.arrays[COUNTERS][...] = 0, self.begin[COUNTERS]
            together = next(n for n in self.launches if n <= min(steps, TABLE - self.row))
            self.launches[together]()
            self.row, steps = self.row + together, steps - together
        self.backend.synchronize()

    def results(self) -> list[np.ndarray]:
        """Weights and their moments."""
        return [np.array(self.backend.to_numpy(self.arrays[which])) for which in (P, M, V)]


def agreement(check: Check, backend: Backend, network: Network, rows: int, make: Make) -> None:
    """Two steps against NumPy's in float64; eps is large, or the sign of a gradient near 0 would decide an update."""
    few = Few(backend, network, rows, make, eps=1e-2)
    exact = [np.array(backend.to_numpy(array)) for array in few.begin]
    exact = [array.astype(np.float64) if array.dtype.kind == "f" else array for array in exact]
    start = exact[P].copy()
    given = small_step.attributes(network)
    small_step.step_reference(np, *exact, np.zeros(1, np.uint32), **given, steps=2, blocks=1)
    few.run(2)
    got = few.results()
    got[0], exact[P] = got[0] - start, exact[P] - start
    wanted = [exact[which] for which in (P, M, V)]
    pairs = zip(got, wanted, strict=True)
    check["off by"] = off = max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs)
    check.require(off <= OFF, f"weights or moments are off by {off:.2g} of their norm")


def same_bits(check: Check, backend: Backend, network: Network, rows: int) -> None:
    """Many steps in cooperative launches give the bits of those phase by phase: no block has run ahead of another."""
    steps = 2 * TOGETHER + 1
    results = []
    for make in phases, one, several:
        few = Few(backend, network, rows, make)
        few.run(steps)
        results.append([array.tobytes() for array in few.results()])
    check["bits compared after, steps"] = steps
    check.require(results[0] == results[1] == results[2], f"after {steps} steps the weights' bits differ")


def compare(
    check: Check,
    backend: Backend,
    scale: Scale,
    network: Network,
    rows: int,
    makers: Mapping[str, Make],
    timed: dict[str, dict[str, dict[int, float]]],
) -> None:
    """Step times beside those of the captured list, in turn."""
    contenders = {LIST: Steps(backend, network, rows).run}
    contenders |= {name: Few(backend, network, rows, make).run for name, make in makers.items()}
    times = wall_seconds(scale, contenders)
    for name, seconds in times.items():
        check[f"{name}, us"] = seconds * 1e6
        timed.setdefault(network.name, {}).setdefault(name, {})[rows] = seconds
    for name in makers:
        check[f"{name}, times as fast"] = times[LIST] / times[name]


def verdict(timed: Mapping[str, Mapping[str, Mapping[int, float]]], name: str) -> str:
    """Whether a contender is to come into the library, by the rule that was written before it was measured."""
    gains = {
        (network, rows): lines[LIST][rows] / seconds
        for network, lines in timed.items()
        for rows, seconds in lines.get(name, {}).items()
    }
    if not gains:
        return "not measured"
    good = all(gain >= (FASTER if rows <= 32 else TIE) for (_, rows), gain in gains.items())
    return (
        f"{'comes in' if good else 'stays out'}: {min(gains.values()):.2f} to {max(gains.values()):.2f} times as fast"
    )
