"""Times of work on the device: medians over rounds, contenders in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median

from ...backends import Backend
from ...dl.step.plan import repeat
from .scale import Scale

MOST = 100_000  # repetitions of one measurement
TOGETHER = 16  # steps are timed in multiples of what contenders run in one call


def device_seconds(backend: Backend, scale: Scale, work: Callable[[], None]) -> float:
    """The time of one call on the device's own clock, between two events around many calls."""

    def taken(times: int) -> float:
        return backend.seconds(partial(repeat, work, times))

    taken(3)
    times = _enough(taken, 1, scale.seconds)
    return median(taken(times) for _ in range(scale.rounds)) / times


def wall_seconds(scale: Scale, contenders: Mapping[str, Callable[[int], None]]) -> dict[str, float]:
    """The time of a step of each contender, which runs so many steps and waits for their end: medians, in turn."""
    steps = {}
    for name, run in contenders.items():
        run(40)  # compiles, captures, warms up
        steps[name] = -(-_enough(partial(_wall, run), TOGETHER, scale.seconds) // TOGETHER) * TOGETHER
    rounds = [
        {name: _wall(run, steps[name]) / steps[name] for name, run in contenders.items()} for _ in range(scale.rounds)
    ]
    return {name: median(times[name] for times in rounds) for name in contenders}


def _enough(taken: Callable[[int], float], times: int, seconds: float) -> int:
    """How many repetitions, from `times` on, take so many seconds."""
    while (spent := taken(times)) < seconds and times < MOST:
        times = min(MOST, max(2 * times, int(1.2 * times * seconds / max(spent, 1e-9))))
    return times


def _wall(run: Callable[[int], None], steps: int) -> float:
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start
