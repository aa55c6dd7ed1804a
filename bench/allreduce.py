"""What the exchange between ranks costs, beside mpi4py's own all-reduce of as many bytes.

    mpiexec -n 2 python -m gearshift.bench.allreduce [BYTES …]

Rounds are interleaved, and each begins with another contender. A time is that of the slowest rank, from a barrier on.
The ratio is the median of the rounds' ratios, with their middle half. The goal of the all-reduce is at most 1.05; the
exchange also weights the gradients and takes the metrics in.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from mpi4py import MPI

from ..backends.launch import ranks
from ..backends.numpy import NumPyBackend
from ..dl.layers import Linear, Sequential
from ..dl.losses.values import MSELoss
from ..dl.optimizers.sgd import SGD
from ..dl.step.exchange import Exchange
from ..dl.step.spec import StepSpec
from ..dl.step.state import TrainingState
from .quartiles import quartiles

SIZES = (1 << 12, 1 << 16, 1 << 20, 2_678_824, 1 << 24)
"""Bytes; those before the last are the gradients of 784-512-512-10."""
ROUNDS, SECONDS, WARM_UP = 41, 0.01, 3
"""Rounds, seconds of a block of calls in a round, and rounds that do not count."""
GOAL = 1.05


def exchanging(size: int) -> Exchange:
    """The exchange of a training whose gradients have about so many bytes."""
    model = Sequential(Linear(max(1, size // 4 - 1), 1)).init(0)
    state = TrainingState(StepSpec(model, MSELoss(), SGD()), NumPyBackend())
    found = Exchange(ranks(), state)
    found.begin(ranks().size)
    return found


def calls(size: int) -> dict[str, Callable[[], Any]]:
    """The contenders by name, each on memory of its own; all reduce as many bytes as an exchange does."""
    exchange = exchanging(size)
    state, sent = exchange.state, exchange.sent
    return {
        "mpi4py": partial(MPI.COMM_WORLD.Dup().Allreduce, MPI.IN_PLACE, np.zeros_like(sent)),
        "all-reduce": partial(exchange.collective.allreduce, np.zeros_like(sent)),
        "exchange": partial(exchange.exchange, np, state.arena.gradients, state.counters, state.totals),
    }


def timed(call: Callable[[], Any], times: int) -> float:
    """Seconds of a call on the slowest rank."""
    MPI.COMM_WORLD.Barrier()
    start = time.perf_counter()
    for _ in range(times):
        call()
    return MPI.COMM_WORLD.allreduce(time.perf_counter() - start, MPI.MAX) / times


def measured(size: int, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of each contender in each round."""
    contenders = calls(size)
    names, times = list(contenders), max(1, round(SECONDS / timed(contenders["mpi4py"], WARM_UP)))
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(WARM_UP + rounds):
        for place in range(len(names)):
            name = names[(place + turn) % len(names)]
            found[name].append(timed(contenders[name], times))
    return {name: seconds[WARM_UP:] for name, seconds in found.items()}


def lines(size: int, found: dict[str, list[float]]) -> list[str]:
    """A table's lines: the median and middle half, and the ratio to mpi4py's."""
    said = []
    for name, seconds in found.items():
        low, high = (1e6 * value for value in quartiles(seconds))
        ratios = [mine / its for mine, its in zip(seconds, found["mpi4py"], strict=True)]
        ends = " to ".join(f"{value:.3f}" for value in quartiles(ratios))
        text = f"{size:>12,}  {name:<10} {1e6 * statistics.median(seconds):>10.2f} ({low:.2f} to {high:.2f})"
        goal = f"  {'met' if statistics.median(ratios) <= GOAL else 'missed'}" if name == "all-reduce" else ""
        said.append(f"{text}  {statistics.median(ratios):.3f} ({ends}){goal}")
    return said


def main() -> None:
    ranks().training = True
    if ranks().rank == 0:
        print(
            f"{'bytes':>12}  {'':<10} {'µs':>10} (middle half)  ÷ mpi4py (middle half); goal of the all-reduce {GOAL}"
        )
    for size in [int(text) for text in sys.argv[1:]] or SIZES:
        found = measured(size)
        if ranks().rank == 0:
            print("\n".join(lines(size, found)), flush=True)


if __name__ == "__main__":
    main()
