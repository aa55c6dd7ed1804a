"""The plan of a fused MLP: which networks have one, its memory, its costs and its products."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import numpy as np
import pytest
from fused_runs import plan_of, rows_of, trainer

import gearshift as gs
from gearshift.dl.step.dense_layout import BLOCK, Layout
from gearshift.dl.step.dense_plan import DensePlan
from gearshift.dl.step.fused_mlp import recognize
from gearshift.dl.step.pooled_plan import PooledPlan
from gearshift.kernels.dense.parts import LayerPlaces


@pytest.mark.parametrize(
    ("widths", "loss", "hidden"),
    [
        ((70, 45, 33, 10), gs.CrossEntropyLoss(), gs.ReLU),
        ((70, 45, 33, 10), gs.CrossEntropyLoss(), gs.SiLU),
        ((70, 33, 99), gs.MSELoss(), gs.ReLU),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_nothing_is_written_between_the_buffers(
    widths: tuple[int, ...], loss: gs.Loss, hidden: type[gs.Layer], whole: bool
) -> None:
    """Guard zones around every buffer of the workspace, and the padding of the arena."""
    data = rows_of(widths, 700, isinstance(loss, gs.CrossEntropyLoss))
    if whole:
        data = gs.Dataset((np.abs(data.x) * 20).astype(np.uint8), data.y)
    run = trainer(widths, "numba", dtype="float32", loss=loss, hidden=hidden)
    plan = plan_of(run, data, 600)
    assert isinstance(plan, DensePlan)
    mlp = recognize(plan.graph)
    assert mlp is not None
    layout = Layout(mlp.layers, plan.arena, plan.block, plan.parts, several=True, gap=256)
    work = np.full(layout.size, 7, np.float32)
    formula = LayerPlaces._fields.index("formula")
    layout.layers[:, formula] = plan._layers[:, formula]
    plan._layers, plan._memory = layout.layers, plan._memory._replace(work=work)
    plan._tools = [
        tools._replace(panels=np.full(len(tools.panels) and layout.panels + 1024, 7, np.int32)) for tools in plan._tools
    ]
    inside = np.zeros(layout.size, bool)
    for start, stop in layout.places:
        inside[start:stop] = True
    for batch in (600, 100, 17, 3):
        run.state.begin_epoch()
        run.state.prepare(1)
        plan.run(batch, 1)
    assert (work[~inside] == 7).all()
    assert all((tools.panels[layout.panels :] == 7).all() for tools in plan._tools)
    arena = np.array(run.state.arena.values)
    for parameter in run.state.arena.parameters:
        run.state.arena.view(arena, parameter)[...] = 0
    assert not arena.any()


def test_what_is_not_a_plain_mlp_runs_operation_by_operation() -> None:
    data = rows_of((8, 6, 4), 20)
    penalised = gs.Sequential(gs.Linear(8, 6), gs.L1Activity(), gs.Linear(6, 4))
    charged = gs.Trainer(penalised, gs.CrossEntropyLoss(), gs.Adam(), backend="numba")
    normed = gs.Sequential(gs.Linear(8, 6), gs.BatchNorm1d(6), gs.Linear(6, 4))
    normalised = gs.Trainer(normed, gs.CrossEntropyLoss(), gs.Adam(), backend="numba")
    shared = gs.Linear(8, 8)
    twice = gs.Trainer(gs.Sequential(shared, gs.ReLU(), shared), gs.CrossEntropyLoss(), gs.Adam(), backend="numba")
    for run in (charged, normalised, twice):
        assert type(plan_of(run, data, 5)) is PooledPlan


def held() -> int:
    """Bytes that Python holds, without the bounded caches of its own: freed tuples, and names of attributes."""
    gc.collect()
    sys._clear_type_cache()
    return tracemalloc.get_traced_memory()[0]


def test_memory_does_not_grow_and_calls_are_constant() -> None:
    """10,000 steps after a warm-up: no growth, and one call of the compiled loop each run."""
    widths, data = (20, 16, 4), rows_of((20, 16, 4), 64)
    run = trainer(widths, "numba", dtype="float32")
    plan = plan_of(run, data, 32)
    assert isinstance(plan, DensePlan)

    def step() -> None:
        run.state.begin_epoch()
        run.state.advanced(plan.run(32, min(2, run.state.prepare(2))), 32)

    calls = []
    steps, plan._steps = plan._steps, lambda *arguments: (calls.append(1), steps(*arguments))
    for _ in range(100):
        step()
    plan._steps = steps
    assert len(calls) <= 200 * plan._pool.threads
    tracemalloc.start()
    try:
        step()
        before = held()
        for _ in range(5_000):
            step()
        grown = held() - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000  # bytes: the schedule's next table, at most


def test_what_a_plan_costs_and_what_limits_it() -> None:
    """One interface: the fused MLP waits where the list launches, and does not store the gradients of weights."""
    widths, data = (64, 48, 10), rows_of((64, 48, 10), 600)
    chain = plan_of(trainer(widths, "numba", dtype="float32"), data, 2 * BLOCK)
    listed = plan_of(trainer(widths, "numpy", dtype="float32"), data, 2 * BLOCK)
    assert (chain.kind, listed.kind) == ("compiled", "graph")
    assert listed.thread_pool is None and listed.threads == 1 and not listed.short_handed
    *costs, wait = chain.costs(BLOCK + 1)
    others = listed.costs(BLOCK + 1)
    assert [(cost.operation, cost.flops) for cost in costs] == [(cost.operation, cost.flops) for cost in others]
    assert {cost.launches for cost in costs} == {0} and {cost.launches for cost in others} == {1}
    assert isinstance(chain, DensePlan)
    shared = int(chain._unit is None)  # after an update that all threads share, for the block that has enough rows
    assert wait.operation == "wait" and wait.launches == (0 if chain.thread_pool is None else 2 * 2 * 2 + shared)
    gradients = {cost.layer: cost.written for cost in others if cost.product == "weight gradient"}
    assert gradients == {"0": 4 * 64 * 48, "2": 4 * 48 * 10}
    assert not any(cost.written for cost in costs if cost.product == "weight gradient")
    (adam,) = (cost for cost in costs if cost.operation == "adam")
    (other,) = (cost for cost in others if cost.operation == "adam")
    assert other.read - adam.read == 4 * chain.arena.size  # the gradient


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_products_can_be_run_alone(backend: str) -> None:
    """Each counts the floating-point operations of its shape; running it changes no parameter."""
    widths, rows = (64, 48, 10), 32
    plan = plan_of(trainer(widths, backend, dtype="float32"), rows_of(widths, 100), rows)
    before, found = plan.arena.values.copy(), plan.products(rows)
    forward = [(one.layer, one.flops) for one in found if one.product == "forward"]
    assert forward == [("0", 2 * rows * 64 * 48), ("2", 2 * rows * 48 * 10)]
    for one in found:
        one.run(2)
    assert (plan.arena.values == before).all()
