"""Steps as CUDA graphs: captured once, then replayed, several steps at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...backends import Backend
from ..graph.graph import Node

WARM_UP = 2  # steps launched call by call before a capture, so that kernels are loaded and libraries initialised
TOGETHER = 16  # steps that one launch holds where so many are asked for


class Steps:
    """The steps of one batch size. Every step reads counters that the step before has advanced, so all are alike.

    If the backend supports capture, the first steps are launched call by call, and then graphs are replayed. If a
    capture fails, steps are launched call by call, and one warning says so. Results are bit-identical either way.

    Parameters
    ----------
    backend : where the calls run.
    calls : those of one step, in order.
    """

    def __init__(self, backend: Backend, calls: Sequence[Call]) -> None:
        self.backend, self.calls = backend, calls
        self._runs: list[Callable[[], None]] = [call.run for call in calls]
        # by the number of steps, most first; no bound methods, whose cycle would keep a plan's memory until it is found
        self._launches: dict[int, Callable[[], None]] = {1: partial(_run, self._runs, 1)}
        self._eager = 0 if backend.captures else -1  # steps launched call by call; -1 when that will not change

    def run(self, most: int) -> int:
        """Starts up to `most` steps; returns how many."""
        if self._eager >= WARM_UP:
            self._capture()
        steps, launch = next((steps, launch) for steps, launch in self._launches.items() if steps <= most)
        launch()
        if self._eager >= 0:
            self._eager += 1
        return steps

    @property
    def captured(self) -> bool:
        """Whether steps are replayed from graphs."""
        return len(self._launches) > 1

    def _capture(self) -> None:
        self._eager = -1
        try:
            for call in self.calls:
                obstacle = self.backend.obstacle(call.node.operation)
                if obstacle:
                    raise RuntimeError(obstacle)
            one = self.backend.capture(partial(_run, self._runs, 1))
            several = self.backend.capture(partial(_run, self._runs, TOGETHER))
        except Exception as error:  # whatever the device says, training goes on
            warnings.warn(f"steps are launched call by call, not as a graph: {error}", stacklevel=5)
        else:
            self._launches = {TOGETHER: several, 1: one}


def _run(calls: Sequence[Callable[[], None]], times: int) -> None:
    """The calls of a step in order, so many times."""
    for _ in range(times):
        for call in calls:
            call()


@dataclass(frozen=True)
class Call:
    """One bound operation; `run` takes no arguments."""

    node: Node
    arrays: tuple[Any, ...]
    run: Callable[[], None]
