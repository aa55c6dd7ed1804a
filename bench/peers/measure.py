"""Measures points: every contender prepares, then rounds in which each runs one block in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from ..batch.measure.network import launcher
from ..machine import described
from . import analysis
from .contender import ENTRIES, MPI
from .isa import environment
from .process import Process, WorkerFailed
from .results import Measurement, PeersPoint, Result

PACKAGES = ("gearshift", "numpy", "numba", "scipy", "scikit-learn", "torch", "jax", "jaxlib")

ProgressCallback = Callable[[str], None]
"""Progress callback."""


def absent(names: Sequence[str]) -> dict[str, str]:
    """The contenders that are not installed, with the commands that install them."""
    missing = {name: ENTRIES[name].install for name in names if find_spec(ENTRIES[name].needs) is None}
    several = [name for name in names if ENTRIES[name].ranks > 1] if launcher() is None else []
    return {**dict.fromkeys(several, MPI), **missing}


class Crew:
    """The contenders' processes and their rounds. A context manager that ends the processes.

    If `threads` are given, the processes of each contender have so many together.
    """

    def __init__(
        self,
        names: Sequence[str],
        rounds: dict[str, int],
        progress: ProgressCallback,
        isa: str = "native",
        threads: int | None = None,
    ) -> None:
        self.rounds, self.progress = rounds, progress
        self.measurement = Measurement(described(PACKAGES) | {"settings": {}, "isa": isa}, absent(names))
        self.processes = {
            name: Process(
                name, environment(isa) | held_to(name, threads), launcher() if ENTRIES[name].ranks > 1 else None
            )
            for name in names
            if name not in self.measurement.absent
        }

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.close()

    def settle(self) -> None:
        """Waits until all have started, and notes their settings."""
        for name, process in self.processes.items():
            self.progress(f"starting {name}")
            try:
                self.measurement.machine["settings"][name] = process.ask("settings")
            except WorkerFailed as error:
                self.measurement.machine["settings"][name] = {"failed": str(error)}

    def measure(self, measure: str, network: str, batch: int) -> PeersPoint:
        """Measures a point; results are stored in `measurement` even if it is interrupted."""
        point = PeersPoint(measure, network, batch, batch)
        for name in self.processes:
            if takes_part(name, measure, network):
                self._prepare(name, point)
        for turn in range(self.rounds[measure]):
            self._round(turn, point)
            if turn == 0:  # from here on an interruption leaves something to show
                self.measurement.points.append(point)
                analysis.mark_faults(point)
        if measure in ("epoch", "ranks"):
            self._note_losses(point)
            analysis.mark_faults(point)
        for name in point.results:
            self._ask(name, point, "release")
        return point

    def _prepare(self, name: str, point: PeersPoint) -> None:
        self.progress(f"{point.measure} {point.network}, batch {point.batch}: preparing {name}")
        result = point.results[name] = Result()
        do = "epoch" if point.measure == "ranks" else point.measure
        answer = self._ask(name, point, do, network=point.network, batch=point.batch)
        result.losses, result.steps = answer.get("losses", []) if ENTRIES[name].learns else [], answer.get("steps", 1)
        result.how = answer.get("how", "")
        point.rows, point.real = answer.get("rows", point.rows), answer.get("real", point.real)

    def _round(self, turn: int, point: PeersPoint) -> None:
        running = [name for name, result in point.results.items() if not result.fault]
        self.progress(f"{point.measure} {point.network}, batch {point.batch}: round {turn + 1}")
        for place in range(len(running)):
            name = running[(place + turn) % len(running)]
            answer = self._ask(name, point, "block")
            if answer:
                point.results[name].seconds.append(answer["seconds"])

    def _note_losses(self, point: PeersPoint) -> None:
        for name, result in point.results.items():
            if ENTRIES[name].learns and not result.fault:
                result.losses = list(self._ask(name, point, "loss").values())

    def _ask(self, name: str, point: PeersPoint, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer; empty, and the contender's fault noted, where it failed."""
        try:
            return self.processes[name].ask(do, **arguments)
        except WorkerFailed as error:
            point.results[name].fault = point.results[name].fault or str(error)
            return {}


def held_to(name: str, threads: int | None) -> dict[str, str]:
    """The variables that give a contender's processes so many threads together."""
    each = "" if threads is None else str(threads // ENTRIES[name].ranks)
    return dict.fromkeys(("GEARSHIFT_THREADS", "OMP_NUM_THREADS"), each) if each else {}


def takes_part(name: str, measure: str, network: str) -> bool:
    """Whether a contender is measured there."""
    entry = ENTRIES[name]
    return measure in entry.measures and (not entry.networks or network in entry.networks)
