"""Times of work on the device: medians over rounds, contenders in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

from ...backends import Backend
from .scale import Scale

MOST = 100_000  # repetitions of one measurement
TOGETHER = 16  # steps are timed in multiples of what contenders run in one call


def device_seconds(backend: Backend, scale: Scale, work: Callable[[], None]) -> float:
    """The time of one call on the device's own clock, between two events around many calls."""

    def repeat(times: int) -> float:
        def several() -> None:
            for _ in range(times):
                work()

        return backend.seconds(several)

    repeat(3)
    times = 1
    while (taken := repeat(times)) < scale.seconds and times < MOST:
        times = min(MOST, max(2 * times, int(1.2 * times * scale.seconds / max(taken, 1e-9))))
    return median(repeat(times) for _ in range(scale.rounds)) / times


def wall_seconds(scale: Scale, contenders: Mapping[str, Callable[[int], None]]) -> dict[str, float]:
    """The time of a step of each contender, which runs so many steps and waits for their end: medians, in turn."""
    steps = {}
    for name, run in contenders.items():
        run(40)  # compiles, captures, warms up
        count = TOGETHER
        while (taken := _wall(run, count)) < scale.seconds and count < MOST:
            count = min(MOST, max(2 * count, int(1.2 * count * scale.seconds / max(taken, 1e-9))))
        steps[name] = -(-count // TOGETHER) * TOGETHER
    rounds = [
        {name: _wall(run, steps[name]) / steps[name] for name, run in contenders.items()} for _ in range(scale.rounds)
    ]
    return {name: median(times[name] for times in rounds) for name in contenders}


def _wall(run: Callable[[int], None], steps: int) -> float:
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start
