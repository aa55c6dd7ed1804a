"""The products of a compiled chain alone: what its arithmetic ceiling is measured with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...backends.matrix_unit import begin, end
from ...dl.dense_chain import DensePlan
from ...kernels import dense_parts
from ...kernels.dense_chain import multiply
from ...kernels.matrix_product import FEW


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
    exact: Any,
) -> None:
    """`count` times, a thread's share of the forward product of one layer."""
    into = parts if level < layers.shape[0] - 1 else 1
    begin()
    for _ in range(count):
        for part in range(thread, parts, threads):
            multiply(part, parts, rows, layers[level], into, work, p, tools, exact)
    end()


def forward_products(plan: DensePlan, rows: int) -> list[Callable[[int], None]]:
    """For each layer, a call that makes its forward product so many times, for one block of rows.

    The chain's own function runs on the chain's own arrays, by the chain's own threads: whatever it computes with,
    this does too.
    """
    given = _arguments(plan, rows)
    unit = given[0][-2][3].size > 0  # panels for a matrix unit
    loop: Any = plan.backend.compiled(products, **({} if unit else dense_parts.NOT_UNIT))
    n = min(rows, plan.block)

    def of(level: int) -> Callable[[int], None]:
        def run(count: int) -> None:
            def work(thread: int) -> None:
                _, threads, parts, _, _, _, _, layers, memory, _, _, p, *_, tools, exact = given[thread]
                tools = *tools[:3], tools[3] if rows >= FEW else tools[3][:0]  # as the chain takes them
                exact = plan.inexact if level else exact
                loop(level, count, thread, threads, parts, n, layers, memory, p, tools, exact)

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
