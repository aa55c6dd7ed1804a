"""How threads divide a fused MLP, and with which product engine: measured once for each machine and shape.

A rule makes the choice where nothing is measured. It stands unless another choice is clearly faster, because the bits
of the results depend on it. It also stands while other programs use the CPU: what trials find then is not kept.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import NamedTuple, Protocol

from ..._version import __version__
from ...backends import Backend, host
from ...backends.vectors import cpu, vector_bytes
from ...backends.waited import waited

MEASURE = "GEARSHIFT_MEASURE"
VECTORS, MATRIX_UNIT = range(2)
INPUTS, ROWS = range(2)
logger = logging.getLogger(__name__)
SECONDS, ROUNDS, SHORTEST = 0.15, 5, 5e-4  # for all trials; trials of each choice; of one trial
CLEARLY = 1.05  # times as fast as the rule's choice
LATE = 0.05  # share of the trials' time that threads wait for a CPU, from which other programs disturb them
FAR = 1.6  # times as long as the fastest: not tried again


class Choice(NamedTuple):
    """In how many parts a step is divided, one for each thread, the product engine of large batches, and what is
    divided: the inputs of each layer, or the rows of the batch."""

    parts: int
    engine: int = VECTORS
    divided: int = INPUTS

    @property
    def how(self) -> str:
        """Threads and units, in words."""
        threads = f"{self.parts} thread{'s' if self.parts > 1 else ''}"
        rows = " that divide the rows" if self.divided == ROWS else ""
        return f"{threads}{rows}, {('vector units', 'matrix unit')[self.engine]}"


class Timed(Protocol):
    """A plan that can be timed."""

    def trial(self, count: int) -> float:
        """Runs about `count` steps on copies; returns the seconds of one."""
        ...

    @property
    def stalls(self) -> int:
        """The calls so far, of this or another plan, in which other programs took a thread's CPU."""
        ...

    @property
    def short_handed(self) -> bool:
        """Whether fewer threads than planned run a step for now."""
        ...


def candidates(rule: Choice, threads: int, unit: bool, rows: bool) -> list[Choice]:
    """The choices to compare, the rule's first: numbers of threads that halve, and the engines that can run.

    With `rows`, all threads may also divide the rows of the batch.
    """
    counts = {max(1, threads >> halvings) for halvings in range(threads.bit_length())} | {rule.parts}
    engines = [VECTORS, MATRIX_UNIT] if unit else [VECTORS]
    others = {Choice(parts, engine) for parts in counts for engine in engines} - {rule}
    others |= {Choice(threads, VECTORS, ROWS)} if rows and threads > 1 else set()
    return [rule, *sorted(others, reverse=True)]


def chosen(
    backend: Backend,
    name: str,
    found: Sequence[Choice],
    threads: int,
    make: Callable[[Choice], Timed],
    prepare: Callable[[Sequence[Choice]], None],
) -> Choice:
    """The choice for a network called `name`, among those that were found; measured if this machine has none yet.

    `prepare` is told which choices `make` will make.
    """
    if len(found) == 1 or os.environ.get(MEASURE) == "off":
        return found[0]
    versions = f"numba {version('numba')}, gearshift {__version__}"
    machine = f"{host.processor()}, {cpu()}, {threads} threads, {8 * vector_bytes()}-bit vectors, {versions}"

    def measured() -> tuple[list[int], bool]:
        prepare(found)
        words, certain = fastest(found, make)
        level = logging.DEBUG if Choice(*words) == found[0] else logging.INFO
        logger.log(level, "%s: a step is fastest here on %s (measured once, then remembered)", name, Choice(*words).how)
        return words, certain

    words = backend.chosen(f"{machine}: {name}", measured)
    return Choice(*words) if Choice(*words) in found else found[0]


def fastest(found: Sequence[Choice], make: Callable[[Choice], Timed]) -> tuple[list[int], bool]:
    """The fastest choice by its shortest trial, and whether that is certain.

    It is the first choice unless another is clearly faster, and no other program took the CPU from a trial.
    """
    trials = {choice: make(choice) for choice in found}
    times = {choice: trial.trial(1) for choice, trial in trials.items()}  # compiles, and warms caches
    before, late, start = trials[found[0]].stalls, waited(), time.perf_counter()
    times = {choice: trial.trial(1) for choice, trial in trials.items()}
    counts = {choice: max(1, int(SHORTEST / max(seconds, 1e-9))) for choice, seconds in times.items()}
    for turn in range(ROUNDS):
        far = FAR * min(times.values())
        for choice, trial in trials.items():
            if times[choice] < far or not turn:
                times[choice] = min(times[choice], trial.trial(counts[choice]))
        if time.perf_counter() > start + SECONDS:
            break
    best = min(times, key=times.__getitem__)
    share = (waited() - late) / (time.perf_counter() - start)
    if share > LATE or any(trial.short_handed or trial.stalls > before for trial in trials.values()):
        return [*found[0]], False
    return [*(best if times[found[0]] >= CLEARLY * times[best] else found[0])], True
