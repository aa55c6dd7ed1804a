"""Which plan runs a graph: the fastest of those that can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...backends import Backend, matrix_unit
from ...backends.thread_pool import ThreadPool, thread_pool
from ...kernels.dense import chain as dense_chain
from ...kernels.dense import matrix_product
from ..graph.graph import Graph
from .arena import Arena
from .dense_choice import MATRIX_UNIT, VECTORS, Choice, candidates, chosen
from .dense_loop import begin_loops
from .dense_plan import DensePlan
from .fused_mlp import FusedMLP, recognize
from .plan import Plan
from .pooled_plan import PooledPlan

MEASURED = 32  # rows of the smallest batch whose engine and threads are measured
BY_ROWS = 64, 128  # rows of the smallest batch whose rows may be divided, and the weights that each row then pays for
LARGEST = 64 << 20  # bytes of the largest parameters: trials copy them and the optimizer's states


def plan_of(
    graph: Graph,
    backend: Backend,
    arena: Arena,
    shared: Mapping[str, Any],
    capacity: int,
    *,
    workers: ThreadPool | None = None,
) -> Plan:
    """The fastest plan that runs the graph on this backend; arguments and errors as `Plan`.

    `workers` run the step, instead of the threads of this process.
    """
    mlp = recognize(graph) if backend.compiled(dense_chain.steps) is not None else None
    if mlp is not None:
        return _dense_plan(mlp, graph, backend, arena, shared, capacity, workers or thread_pool())
    if backend.runs_tasks:
        return PooledPlan(graph, backend, arena, shared, capacity, workers)
    return Plan(graph, backend, arena, shared, capacity)


def _dense_plan(
    mlp: FusedMLP,
    graph: Graph,
    backend: Backend,
    arena: Arena,
    shared: Mapping[str, Any],
    capacity: int,
    pool: ThreadPool,
) -> DensePlan:
    """The plan of a fused MLP with the fastest product engine and number of threads."""
    make = partial(DensePlan, mlp, graph, backend, arena, shared, capacity, pool)

    def prepare(several: Sequence[Choice]) -> None:
        begin_loops(backend, (choice.divided for choice in several), arena.dtype.name)

    sizes, learns = [int(np.prod(layer.weight.shape)) for layer in mlp.layers], mlp.update is not None
    # Small batches and evaluations do not use the matrix unit: to compile its engine takes seconds.
    large = learns and capacity >= matrix_product.FEW and arena.dtype == np.float32
    unit = large and matrix_unit.available()
    rule = Choice(pool.parts(sizes, capacity), MATRIX_UNIT if unit and matrix_unit.preferred() else VECTORS)
    # The update decides the time of small batches, and a trial does not know how fast real numbers make it.
    small = arena.values.nbytes <= LARGEST
    rows = capacity >= BY_ROWS[0] and sum(sizes) <= BY_ROWS[1] * capacity
    measured = learns and small and capacity >= MEASURED
    found = candidates(rule, pool.threads, unit, rows) if measured else [rule]
    widths = "-".join(str(size) for size in (mlp.layers[0].weight.shape[0], *(w.weight.shape[1] for w in mlp.layers)))
    name = f"{widths}, batch {capacity}, {arena.dtype}, rows of {shared[mlp.x.inputs[0].name].dtype}"
    return make(chosen(backend, name, found, pool.threads, make, prepare))
