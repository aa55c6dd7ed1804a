"""What `--prove` changes about a step, and the peak_rates that its predictions are made of."""

from __future__ import annotations

import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from gearshift.backends import host
from gearshift.backends.numba import compiled
from gearshift.backends.thread_pool import PATIENCE, ThreadPool
from gearshift.bench.batch.analysis.roofline import time_bounds
from gearshift.bench.batch.measure import peak_rates, proof, streams, sweep
from gearshift.bench.batch.measure.proof import variants
from gearshift.bench.batch.measure.steps import TimedSteps
from gearshift.bench.batch.measure.sweep import Budget, Sweep
from gearshift.bench.batch.measure.task import task_of
from gearshift.bench.batch.records import Document, PeakRates, Rate
from gearshift.dl.data import Splits
from gearshift.dl.data.resident import Resident
from gearshift.dl.experiment import build as experiment
from gearshift.dl.experiment.config import parse
from gearshift.dl.experiment.sections import Configuration
from gearshift.dl.step.costs import FORWARD, Cost
from gearshift.dl.step.plan import Plan
from gearshift.dl.step.plans import plan_of

OPTIONS = ["model.hidden=[8]", "model.dropout=0.0"]


def task(*options: str) -> tuple[Configuration, Splits]:
    """A tiny network on the digits."""
    configuration = parse({}, [*OPTIONS, *options])
    return configuration, experiment.load(configuration)


def steps(backend: str, *options: str, **kinds: object) -> TimedSteps:
    """Its steps of 4 rows."""
    configuration, splits = task(*options)
    trainer = experiment.build_trainer(configuration, splits, backend)
    return TimedSteps(trainer, Resident(trainer.backend, splits.train), 4, **kinds)  # pyright: ignore[reportArgumentType]


def test_a_short_handed_team_is_noticed() -> None:
    """Two calls on end in which a thread was kept waiting make one thread do the work of both for a while."""
    network, pair = ["model.hidden=[256]"], ThreadPool(2)

    timed = steps("numba", *network, make=partial(plan_of, workers=pair))
    assert not timed.short_handed
    for _ in range(PATIENCE):
        pair._note(kept=1.0)
    assert timed.short_handed
    assert not steps("numpy", *network).short_handed


def test_passes_over_memory() -> None:
    """Each loop reads, writes or changes every word in every pass; so does its array code."""
    x = np.arange(10, dtype=np.int64)
    assert streams.read(3, x) == sum(int(i) ^ turn for turn in range(3) for i in range(10))
    assert streams.update(3, x) == 0 and (x == np.arange(10) + 0 + 1 + 2).all()
    assert streams.write(3, x) == 0 and (x == 2).all()
    streams.read_array(np, x)
    streams.update_array(np, x)
    assert (x == 3).all()
    streams.write_array(np, x)
    assert (x == 1).all()


def test_threads_meet() -> None:
    """The first goes on once the other has come, and one alone waits for nobody."""
    meet, pool, came = compiled(streams.meet), ThreadPool(2), []
    meet(0, 1, 5, pool.flags)

    def work(thread: int) -> None:
        if thread:
            time.sleep(0.05)
            came.append(thread)
        meet(thread, 2, 3, pool.flags)
        assert came

    pool.run(work, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_changes_of_a_step(dtype: str) -> None:
    """The other precision; a chain also operation by operation, and with less than all threads where there are more."""
    other = "float64" if dtype == "float32" else "float32"
    for name in ("numpy", "numba"):
        configuration, _ = task(f"model.dtype={dtype}")
        made = steps(name, f"model.dtype={dtype}")
        found = [variant.change for variant in variants(configuration, made.backend, made.plan)]
        assert found[0] == other and "TF32" not in found and "launched call by call" not in found
        assert ("operation by operation" in found) == (name == "numba")
        if host.threads() == 1:
            assert "one thread" not in found


def test_a_gpu_has_changes_of_its_own() -> None:
    """TF32, and launches in place of replayed graphs, which are switched on again afterwards."""
    made = steps("numpy")
    backend = SimpleNamespace(name="cupy", precisions=("float32", "tf32"), captures=True)
    plan = SimpleNamespace(
        kind="graph", thread_pool=None, capacity=4, steps=lambda rows: SimpleNamespace(captured=True)
    )
    configuration, _ = task()
    found = {variant.change: variant for variant in variants(configuration, backend, plan)}  # pyright: ignore[reportArgumentType]
    assert list(found) == ["float64", "TF32", "launched call by call"] and made.plan.capacity == 4
    with found["launched call by call"].within(backend):  # pyright: ignore[reportArgumentType]
        assert not backend.captures
    assert backend.captures


def test_a_chain_on_one_thread_takes_the_same_steps() -> None:
    """To the same weights as on all of them, but for the order of sums."""
    made = [steps("numba", make=make) for make in (plan_of, partial(plan_of, workers=ThreadPool(1)), Plan)]
    for one in made:
        one.reset()
        one.run(3)
    assert made[1].plan.parts == 1  # pyright: ignore[reportAttributeAccessIssue]
    whole, alone, listed = (one.state.pack() for one in made)
    for name in whole:
        np.testing.assert_allclose(alone[name], whole[name], rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(listed[name], whole[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_blas_on_one_thread() -> None:
    """Within the change alone."""
    if host.threads() == 1:
        pytest.skip("one thread is all there is")
    before, made = host.blas_threads(), steps("numpy")
    configuration, _ = task()
    found = {variant.change: variant for variant in variants(configuration, made.backend, made.plan)}
    with found["one thread"].within(made.backend):
        assert all(count == 1 for name, count in host.blas_threads().items() if "openmp" not in name)
    assert host.blas_threads() == before


@pytest.mark.long
def test_predictions_beside_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every change there is, where the bounds are strongest; nothing of points that were not made."""
    monkeypatch.setattr(proof, "ROUNDS", 2)
    monkeypatch.setattr(proof, "VISIT", 0.005)
    monkeypatch.setattr(peak_rates, "TRIES", 1)
    monkeypatch.setattr(sweep, "ROUNDS", 3)
    configuration, splits = task()
    trainer = experiment.build_trainer(configuration, splits, "numba")
    document = Document(task=task_of(configuration, splits, trainer), asked=[4])
    budget = Budget(1.0)
    proof.prove(document, configuration, splits, "numba", budget)
    assert document.proofs == []
    Sweep(document, configuration, splits, ["numba"], budget).run()
    for point in document.benchmarks:
        point.rounds = [max(second, 1.01 * point.attainable_seconds) for second in point.rounds]  # whatever else runs
    proof.prove(document, configuration, splits, "numba", budget)
    assert {"float64", "operation by operation"} <= {one.change for one in document.proofs}
    for one in document.proofs:
        assert 0 < one.low <= one.high and one.measured > 0 and one.batch == 4


def test_arithmetic_of_updates() -> None:
    """Each update that is compiled has its rate; array code has none."""
    for options in ((), ("model.dtype=float64",), ("optimizer.name=SGD",)):
        found = peak_rates._arithmetic(steps("numba", *options).plan)
        assert len(found) == 1 and min(found.values()) > 1e6
    assert peak_rates._arithmetic(steps("numpy").plan) == {}


def test_an_update_has_a_peak_of_its_own() -> None:
    """Products have theirs, other operations the best of them."""
    rates = [Rate(layer="1", product=FORWARD, batch=8, flops_per_second=1e9)]
    given = PeakRates(products=rates, arithmetic={"adam": 1e7})
    costs = [Cost("matmul", "1", "forward", 10**6, product=FORWARD), Cost("adam", "", "update", 10**6)]
    costs.append(Cost("bias_activation", "1", "forward", 10**6))
    assert [time_bound.compute for time_bound in time_bounds(costs, given)] == pytest.approx([1e-3, 0.1, 1e-3])
    merged = peak_rates.merged(given, PeakRates(arithmetic={"adam": 3e7}))
    assert merged.arithmetic == {"adam": 3e7}
