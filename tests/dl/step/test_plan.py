"""Plans: fixed calls, no memory taken while running, work counted by hand."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import numpy as np
import pytest

import gearshift as gs
from gearshift import backends
from gearshift.dl.step.arena import Arena
from gearshift.dl.step.plan import BINDINGS, Plan
from gearshift.dl.step.program import prediction
from gearshift.dl.training.loop import Loop


def loop(backend: str = "numba", rows: int = 64, batch_size: int = 16) -> Loop:
    generator = np.random.default_rng(0)
    data = gs.Dataset(generator.normal(size=(rows, 8)).astype(np.float32), generator.integers(0, 3, rows))
    model = gs.Sequential(gs.Linear(8, 12), gs.ReLU(), gs.Linear(12, 3))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=backend)
    return Loop(trainer, data, None, batch_size)


def held() -> int:
    """Bytes that Python holds, without the bounded caches of its own: freed tuples, and names of attributes."""
    gc.collect()
    sys._clear_type_cache()
    return tracemalloc.get_traced_memory()[0]


def test_a_thousand_steps_take_no_memory() -> None:
    plan, state = (running := loop()).plan, running.state

    def steps(count: int) -> None:
        for _ in range(count // 4):
            state.begin_epoch()
            plan.run(16, 4)
            state.counters[2] = 0

    state.prepare(1)
    steps(100)
    calls = plan.bind(16)
    tracemalloc.start()
    steps(8)
    before = held()
    steps(1000)
    grown = held() - before
    tracemalloc.stop()
    assert grown < 4096
    assert plan.bind(16) is calls and state.failed_step() == -1


@pytest.mark.parametrize("batch", [1, 16])
def test_work_is_that_of_the_matrix_products(batch: int) -> None:
    flops = sum(cost.flops for cost in loop().plan.costs(batch) if "matmul" in cost.operation)
    weights = 8 * 12 + 12 * 3
    assert flops == 6 * weights * batch - 2 * 8 * 12 * batch  # nobody needs the gradient of x


def test_the_latest_batch_sizes_stay_bound() -> None:
    plan = loop().plan
    first = plan.bind(1)
    for rows in range(2, BINDINGS + 1):
        plan.bind(rows)
    assert plan.bind(1) is first
    plan.bind(16)  # pushes out 2, the oldest
    assert plan.bind(1) is first and len(plan._bindings) == BINDINGS and 2 not in plan._bindings


def test_a_batch_that_does_not_fit_names_one_that_does() -> None:
    where = backends.get("numpy")
    model = gs.Sequential(gs.Linear(8, 12))
    graph = prediction(model, 8).graph
    arena = Arena(where, "float32", model.ensure_initialized().parameters())
    with pytest.raises(gs.DeviceMemoryError, match="largest batch that fits is") as caught:
        Plan(graph, where, arena, {}, 10**13)
    largest = int(str(caught.value).rpartition(" ")[2].replace(",", ""))
    a_row = Plan(graph, where, arena, {}, 1).bytes
    assert 0 < largest * a_row <= where.memory()[1]
