"""The plan that runs a graph's operations on a thread pool, against the NumPy backend's operations in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.thread_pool import ThreadPool
from gearshift.dl.step.plan import Plan
from gearshift.dl.step.pooled_plan import PooledPlan, TaskList
from gearshift.dl.training.loop import Loop

RANDOM = np.random.default_rng(0)
ROWS = gs.Dataset(RANDOM.normal(size=(300, 30)), RANDOM.integers(0, 10, 300))
TOKENS = gs.Dataset(RANDOM.integers(0, 9, (60, 12)), RANDOM.integers(0, 9, (60, 12)))


def residual() -> list[gs.Layer]:
    inner = gs.LayerNorm(21), gs.Linear(21, 40), gs.GELU(), gs.Linear(40, 21)
    return [gs.Linear(30, 21), gs.Residual(*inner), gs.LayerNorm(21), gs.Linear(21, 10)]


def normalised() -> list[gs.Layer]:
    return [gs.Linear(30, 50), gs.BatchNorm1d(50), gs.ReLU(), gs.Dropout(0.3), gs.Linear(50, 10)]


def transformer() -> list[gs.Layer]:
    return [gs.Embedding(9, 16, 12), gs.TransformerBlock(16, 2, dropout=0.1), gs.LayerNorm(16), gs.Linear(16, 9)]


def attention() -> list[gs.Layer]:
    return [gs.Embedding(9, 16, 12, padding=0), gs.TransformerBlock(16, 2), gs.LayerNorm(16), gs.Linear(16, 9)]


class Cube(gs.ArrayLayer):
    """A layer without a loop: its operations run in Python."""

    def forward(self, xp, x):
        return x + x * x * x / 50

    def backward(self, xp, dy, x, y):
        return (dy * (1 + 3 * x * x / 50),)


def partly_in_python() -> list[gs.Layer]:
    return [gs.Linear(30, 20), Cube(), gs.LayerNorm(20), gs.Linear(20, 10)]


NETWORKS: dict[str, tuple[Callable[[], list[gs.Layer]], gs.Dataset]] = {
    "residual": (residual, ROWS),
    "normalised": (normalised, ROWS),
    "transformer": (transformer, TOKENS),
    "attention": (attention, TOKENS),
    "partly in Python": (partly_in_python, ROWS),
}


def trained(case: str, backend: str, dtype: str = "float64", batch: int = 32) -> tuple[gs.Trainer, dict]:
    make, data = NETWORKS[case]
    model = gs.Sequential(*make(), dtype=dtype)
    run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(0.1, momentum=0.9), backend=backend)
    run.fit(data, epochs=2, batch_size=batch, verbose=False)
    return run, {name: np.array(value) for name, value in run.model.state_dict().items()}


@pytest.mark.parametrize("case", NETWORKS)
def test_as_the_operations_of_numpy(case: str) -> None:
    """300 rows in batches of 32 end with a smaller batch, so two sizes are bound."""
    (run, found), (listed, expected) = trained(case, "numba"), trained(case, "numpy")
    assert type(Loop(run, NETWORKS[case][1], None, 32).plan) is PooledPlan
    assert type(Loop(listed, NETWORKS[case][1], None, 32).plan) is Plan
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-8, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(run.history["loss"], listed.history["loss"], rtol=1e-10)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", ["residual", "normalised", "transformer", "attention"])
def test_bits_do_not_depend_on_the_number_of_threads(case: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gearshift.dl.step.pooled_plan.SMALL", 0)  # every operation is divided
    found = []
    for pool in (ThreadPool(2), ThreadPool(threads)):
        monkeypatch.setattr("gearshift.dl.step.pooled_plan.thread_pool", lambda pool=pool: pool)
        found.append({name: value.tobytes() for name, value in trained(case, "numba", "float32")[1].items()})
    assert found[0] == found[1]


def test_operations_without_a_loop_stand_between_the_lists() -> None:
    run, _ = trained("partly in Python", "numba")
    plan = Loop(run, ROWS, None, 32).plan
    assert isinstance(plan, PooledPlan)
    work = plan._work(32)
    assert [isinstance(part, TaskList) for part in work] == [True, False, True, False, True]
    names = [cost.operation for cost in plan.costs(32)]
    assert names[-1] == "wait" and names[:-1] == [cost.operation for cost in Plan.costs(plan, 32)]


def test_several_steps_are_one_call() -> None:
    run, _ = trained("residual", "numba")
    plan = Loop(run, ROWS, None, 32).plan
    assert isinstance(plan, PooledPlan) and len(plan._work(32)) == 1
    run.state.begin_epoch()
    calls: list[int] = []
    together, plan._step_seconds = plan._together, 1e-9
    plan._together = lambda part, count: (calls.append(count), together(part, count))  # pyright: ignore
    run.state.prepare(4)
    before = int(run.state.counters[0])
    assert plan.run(32, 4) == 4
    assert calls == [4] and int(run.state.counters[0]) == before + 4
