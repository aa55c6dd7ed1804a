"""The products of a compiled chain alone: what its arithmetic ceiling is measured with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...dl.dense_chain import DensePlan
from ...kernels.dense_chain import multiply


def products(
    level: int,
    count: int,
    thread: int,
    threads: int,
    parts: int,
    rows: int,
    layers: Any,
    work: Any,
    p: Any,
    tools: Any,
) -> None:
    """`count` times, a thread's share of the forward product of one layer."""
    into = parts if level < layers.shape[0] - 1 else 1
    for _ in range(count):
        for part in range(thread, parts, threads):
            multiply(part, parts, rows, layers[level], into, work, p, tools)


def forward_products(plan: DensePlan, rows: int) -> list[Callable[[int], None]]:
    """For each layer, a call that makes its forward product so many times, for one block of rows.

    The chain's own function runs on the chain's own arrays, by the chain's own threads: whatever it computes with,
    this does too.
    """
    loop: Any = plan.backend.compiled(products)
    given = _arguments(plan, rows)
    n = min(rows, plan.block)

    def of(level: int) -> Callable[[int], None]:
        def run(count: int) -> None:
            def work(thread: int) -> None:
                _, threads, parts, _, _, _, _, layers, memory, _, _, p, *_, tools = given[thread]
                loop(level, count, thread, threads, parts, n, layers, memory, p, tools)

            plan.team.run(work, len(given))

        return run

    return [of(level) for level in range(len(plan.layers))]


def _arguments(plan: DensePlan, rows: int) -> dict[int, tuple[Any, ...]]:
    """What each thread of the chain is given for a step."""
    given: dict[int, tuple[Any, ...]] = {}
    steps, plan._steps = plan._steps, lambda *arguments: given.__setitem__(arguments[0], arguments)
    try:
        plan._run(rows, 0)
    finally:
        plan._steps = steps
    return given
