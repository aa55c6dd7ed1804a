"""`gearshift bench` on the GPU backend."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gpu import launches

import gearshift as gs
from gearshift import backends
from gearshift.backends.cupy import CuPyBackend
from gearshift.bench.batch import records
from gearshift.bench.batch.measure import noise, peak_rates, streams
from gearshift.bench.batch.measure.steps import TimedSteps
from gearshift.bench.batch.measure.sweep import Budget, Sweep
from gearshift.bench.batch.measure.task import machine, task_of
from gearshift.dl.data.resident import Resident
from gearshift.dl.experiment import build as experiment
from gearshift.dl.experiment.config import parse as configured


@pytest.fixture
def limited() -> Iterator[Any]:
    """CuPy's pool of memory, whose limit a test sets."""
    cupy: Any = importlib.import_module("cupy")
    pool = cupy.get_default_memory_pool()
    gc.collect()
    pool.free_all_blocks()
    yield pool
    pool.set_limit(size=0)


def steps(batch: int, precision: str = "float32", *layers: gs.Layer) -> TimedSteps:
    """The steps of a small network on 40 rows, that have run a few."""
    random = np.random.default_rng(0)
    data = gs.Dataset(random.standard_normal((40, 30)).astype(np.float32), random.integers(0, 12, 40))
    model = gs.Sequential(gs.Linear(30, 40), gs.ReLU(), *layers, gs.Linear(40, 12))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="cupy", precision=precision, clip_norm=1.0)
    found = TimedSteps(trainer, Resident(trainer.backend, data), batch)
    found.timed(3)
    return found


def test_what_does_not_go_together_on_next_to_no_data_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every array of the same size by itself: the definition says what is wrong before a kernel writes anywhere."""
    plan = steps(8).plan
    call = next(call for call in plan.bind(8) if call.node.operation.name == "adam")
    assert peak_rates._small(call, plan.backend) is not None
    monkeypatch.setattr(peak_rates, "KEPT", peak_rates.KEPT - {"table"})  # eight rows then, of which the third is read
    monkeypatch.setattr(peak_rates, "SMALL", 1)
    assert peak_rates._small(call, plan.backend) is None


def test_products_with_epilogues_count_as_products() -> None:
    plan = steps(8).plan
    found = [(cost.layer, cost.product) for cost in plan.costs(8) if cost.product]
    kinds = [
        ("0", "forward"),
        ("2", "forward"),
        ("2", "weight gradient"),
        ("0", "input gradient"),
        ("0", "weight gradient"),
    ]
    assert sorted(found) == sorted(kinds)
    rates = peak_rates._products({8: plan})
    assert {(rate.layer, rate.product) for rate in rates} == set(kinds)


def test_passes_over_memory_are_captured_and_do_what_they_say() -> None:
    backend: Any = backends.get("cupy")
    for kind, after in ("read", 0), ("write", 1), ("update", streams.TOGETHER * 3 + 1):
        x = backend.zeros(37, np.int64)
        backend.bind(streams.PASSES[kind], [x], {})()
        assert (x == min(after, 1)).all()
        work, passes = streams.stream(backend, kind, 37)
        with launches() as found:
            work(3)
        assert passes == streams.TOGETHER and found["graphs"] == 3
    assert backends.get("numpy").obstacle(streams.PASSES["read"])


def document(batches: list[int]) -> tuple[Any, Any, Any]:
    """A sweep that has not begun: its document, configuration and data."""
    configuration = configured({}, ["model.hidden=[16]", "model.dropout=0.0"])
    splits = experiment.load(configuration)
    trainer = experiment.build_trainer(configuration, splits, "cupy")
    found = records.Document(machine=machine(), task=task_of(configuration, splits, trainer), asked=batches)
    return found, configuration, splits


@pytest.mark.parametrize("seen", [True, False], ids=["the plan sees it", "an allocation fails"])
def test_a_sweep_ends_where_memory_does(seen: bool, limited: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured stays, the reason is noted, and the memory of the batch that failed is there again."""
    backend: Any = backends.get("cupy")
    found, configuration, splits = document([4, 1 << 16])
    if seen:
        monkeypatch.setattr(CuPyBackend, "memory", lambda self: (4 << 20, 1 << 30))
    else:
        monkeypatch.setattr(CuPyBackend, "memory", lambda self: (1 << 40, 1 << 40))
        limited.set_limit(size=limited.used_bytes() + (8 << 20))
    sweep = Sweep(found, configuration, splits, ["cupy"], Budget(0.5))
    sweep.run()
    record = found.backend("cupy")
    assert "batch 65,536 does not fit" in record.limit
    assert ("the largest batch that fits is" if seen else "out of memory") in record.limit
    assert [point.batch for point in found.benchmarks] == [4]
    assert all(point.time_bounds and point.rounds for point in found.benchmarks)
    assert record.peak_rates.streams and record.peak_rates.launches and record.peak_rates.products
    del sweep
    gc.collect()
    assert backend.zeros(3 << 20, np.uint8) is not None


def test_peak_rates_do_without_passes_that_do_not_fit(limited: Any) -> None:
    limited.set_limit(size=limited.used_bytes() + (1 << 17))
    found = peak_rates._streams(backends.get("cupy"), peak_rates.SIZES, None)
    assert [one.bytes for one in found] == peak_rates.SIZES[: len(found)] and 1 <= len(found) < len(peak_rates.SIZES)


def test_the_noise_scale_is_that_of_any_backend() -> None:
    """Gradients of each row are read off the list's products, which must not have been joined with others."""
    random = np.random.default_rng(0)
    data = gs.Dataset(random.standard_normal((40, 30)).astype(np.float32), random.integers(0, 12, 40))
    moments = []
    for name in ("numpy", "cupy"):
        model = gs.Sequential(gs.Linear(30, 40), gs.ReLU(), gs.Linear(40, 12))
        trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=name, seed=1)
        moments.append(noise.PerExample(trainer, data, 40).moments(np.arange(40)))
    exact, found = moments
    assert found.examples.keys() == exact.examples.keys() == {"0", "2"}
    for name in "examples", "mean", "whole":
        assert getattr(found, name) == pytest.approx(getattr(exact, name), rel=1e-4)
