"""`gearshift bench` on the GPU backend, whose kernels and products run on the CPU from the same source."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import HostCuda, unavailable
from device_array import DeviceArray
from fake_cupy import CudaOnCpu, stand_ins

import gearshift as gs
from gearshift import backends
from gearshift.bench.batch import records
from gearshift.bench.batch.measure import noise, peak_rates, streams
from gearshift.bench.batch.measure.steps import TimedSteps
from gearshift.bench.batch.measure.sweep import Budget, Sweep, machine, task_of
from gearshift.bench.gpu_proof.streams import STREAMS
from gearshift.dl.data.resident import Resident
from gearshift.dl.experiment import build as experiment
from gearshift.dl.experiment.config import parse as configured

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())

GUARD = 1 << 16  # bytes before and behind each array


@pytest.fixture(autouse=True)
def stand_in() -> Iterator[None]:
    with stand_ins(CudaOnCpu):
        yield


def steps(batch: int, precision: str = "float32", *layers: gs.Layer) -> TimedSteps:
    """The steps of a small network on 40 rows, that have run a few."""
    random = np.random.default_rng(0)
    data = gs.Dataset(random.standard_normal((40, 30)).astype(np.float32), random.integers(0, 12, 40))
    model = gs.Sequential(gs.Linear(30, 40), gs.ReLU(), *layers, gs.Linear(40, 12))
    trainer = gs.Trainer(
        model, gs.CrossEntropyLoss(), gs.Adam(), backend=CudaOnCpu.name, precision=precision, clip_norm=1.0
    )
    found = TimedSteps(trainer, Resident(trainer.backend, data), batch)
    found.timed(3)
    return found


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_peak_rates_of_launches_touch_their_own_arrays_alone(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels take sizes and places from arrays that were made small: each must still be true of the others."""
    plan = steps(8, precision).plan
    guarded: list[tuple[np.ndarray, int]] = []

    def zeros(shape: Any, dtype: Any) -> np.ndarray:
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        raw = np.full(2 * GUARD + size, 77, dtype=np.uint8)
        raw[GUARD : GUARD + size] = 0
        guarded.append((raw, size))
        return raw[GUARD : GUARD + size].view(dtype).reshape(shape).view(DeviceArray)

    monkeypatch.setattr(plan.backend, "zeros", zeros)
    found = peak_rates._launches(plan)
    assert {call.node.operation.name for call in plan.bind(8)} == found.keys()
    assert len(guarded) > 20
    for raw, size in guarded:
        assert (raw[:GUARD] == 77).all() and (raw[GUARD + size :] == 77).all()


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
    backend: Any = backends.get(CudaOnCpu.name)
    for kind, after in ("read", 0), ("write", 1), ("update", streams.TOGETHER * 3 + 1):
        x = backend.zeros(37, np.int64)
        backend.bind(streams.PASSES[kind], [x], {})()
        assert (x == min(after, 1)).all()
        work, passes = streams.stream(backend, kind, 37)
        graphs = backend.device.graphs
        work(3)
        assert passes == streams.TOGETHER and backend.device.graphs == graphs + 3
    assert backends.get("numpy").obstacle(streams.PASSES["read"])


def document(batches: list[int]) -> tuple[Any, Any, Any]:
    """A sweep that has not begun: its document, configuration and data."""
    configuration = configured({}, ["model.hidden=[16]", "model.dropout=0.0"])
    splits = experiment.load(configuration)
    trainer = experiment.build_trainer(configuration, splits, CudaOnCpu.name)
    found = records.Document(machine=machine(), task=task_of(configuration, splits, trainer), asked=batches)
    return found, configuration, splits


@pytest.mark.parametrize("stated", [0, 1 << 40], ids=["the plan sees it", "an allocation fails"])
def test_a_sweep_ends_where_memory_does(stated: int) -> None:
    """What was measured stays, the reason is noted, and the memory of the batch that failed is there again."""
    backend: Any = backends.get(CudaOnCpu.name)
    found, configuration, splits = document([4, 1 << 16])
    backend.device.limit, backend.device.stated = backend.device.held + (4 << 20), stated
    sweep = Sweep(found, configuration, splits, [CudaOnCpu.name], Budget(0.5))
    sweep.run()
    record = found.backend(CudaOnCpu.name)
    assert "batch 65,536 does not fit" in record.limit
    assert ("out of memory" if stated else "the largest batch that fits is") in record.limit
    assert [point.batch for point in found.benchmarks] == [4]
    assert all(point.time_bounds and point.rounds for point in found.benchmarks)
    assert record.peak_rates.streams and record.peak_rates.launches and record.peak_rates.products
    del sweep
    gc.collect()
    assert backend.zeros(3 << 20, np.uint8) is not None


def test_peak_rates_do_without_passes_that_do_not_fit() -> None:
    backend: Any = backends.get(CudaOnCpu.name)
    backend.device.limit = backend.device.held + (1 << 17)
    found = peak_rates._streams(backend, peak_rates.SIZES, None)
    assert [one.bytes for one in found] == peak_rates.SIZES[: len(found)] and 1 <= len(found) < len(peak_rates.SIZES)


def test_the_noise_scale_is_that_of_any_backend() -> None:
    """Gradients of each row are read off the list's products, which must not have been joined with others."""
    random = np.random.default_rng(0)
    data = gs.Dataset(random.standard_normal((40, 30)).astype(np.float32), random.integers(0, 12, 40))
    moments = []
    for name in ("numpy", CudaOnCpu.name):
        model = gs.Sequential(gs.Linear(30, 40), gs.ReLU(), gs.Linear(40, 12))
        trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=name, seed=1)
        moments.append(noise.PerExample(trainer, data, 40).moments(np.arange(40)))
    exact, found = moments
    assert found.examples.keys() == exact.examples.keys() == {"0", "2"}
    for name in "examples", "mean", "whole":
        assert getattr(found, name) == pytest.approx(getattr(exact, name), rel=1e-4)


@pytest.mark.parametrize("blocks", [None, 2])
def test_streams_without_arithmetic_are_added_up(blocks: int | None) -> None:
    arrays = [np.arange(start, start + 4099, dtype=np.float32) for start in range(4)]
    wanted = [array.copy() for array in arrays]
    STREAMS.reference(np, *wanted)
    HostCuda(blocks).run(STREAMS, arrays, {})
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(arrays, wanted, strict=True))


def test_a_run_that_moves_to_the_cpu_leaves_nothing_behind() -> None:
    """At once: nobody waits for the collector of cycles."""
    backend: Any = backends.get(CudaOnCpu.name)
    before = backend.device.held
    random = np.random.default_rng(0)
    data = gs.Dataset(random.standard_normal((200, 30)).astype(np.float32), random.integers(0, 4, 200))
    model = gs.Sequential(gs.Linear(30, 12), gs.ReLU(), gs.Linear(12, 4))
    run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=CudaOnCpu.name)
    gc.disable()
    try:
        run.fit(data, validation=data, epochs=2, batch_size=8, verbose=False)
        run.predict(data.x)
        assert backend.device.held > before and backend.device.graphs
        run.to("numba")
        assert backend.device.held == before and backend.device.released
    finally:
        gc.enable()
