"""Memory: stated before it is taken, refused with a batch that fits, and given back."""

from __future__ import annotations

import gc
import importlib
import re
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import stand_in
from registering import registered

import gearshift as gs
from gearshift import backends
from gearshift.backends.cupy import CuPyBackend, Replay
from gearshift.backends.philox import key_of
from gearshift.dl.data import streamed
from gearshift.dl.data.resident import Resident
from gearshift.dl.data.rows import ORDERS
from gearshift.dl.step.memory import DRAWN, Demand
from gearshift.dl.training.loop import EVALUATION_ROWS, Loop


class Tight(CuPyBackend):
    """A device with little memory, which counts what is taken of it."""

    name = "tight"
    room = 1 << 30

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def zeros(self, shape: Any, dtype: Any) -> Any:
        array = super().zeros(shape, dtype)
        self.taken += array.nbytes
        return array

    def memory(self) -> tuple[int, int]:
        return self.room, 1 << 30

    def bytes_to_hold(self, array: Any) -> int:
        return array.nbytes


@pytest.fixture(autouse=True)
def tight() -> Iterator[None]:
    with registered(Tight):
        yield


def pool() -> Any:
    """CuPy's, which holds all memory of arrays."""
    return importlib.import_module("cupy").get_default_memory_pool()


def trainer(backend: str = Tight.name, **given: Any) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(50, 40), gs.ReLU(), gs.Linear(40, 3))
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=backend, clip_norm=1.0, **given)


def data(rows: int = 2000, weighted: bool = False) -> gs.Dataset:
    random = np.random.default_rng(0)
    x, y = random.standard_normal((rows, 50)).astype(np.float32), random.integers(0, 3, rows)
    return gs.Dataset(x, y, np.ones(rows, np.float32) if weighted else None)


def test_weights_of_rows_are_stated_too() -> None:
    run, part = trainer(), data()
    weighted = gs.Dataset(part.x, part.y, np.ones(len(part)))
    stated = run.memory(weighted, validation=weighted, batch_size=512)
    loop = Loop(run, weighted, weighted, 512)
    assert loop.validate is not None
    assert stated["activations"] == loop.plan.bytes
    assert stated["validation activations"] == loop.validate.plan.bytes


@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_stated_is_what_is_taken(weighted: bool) -> None:
    """Rows with weights and a penalty, too, which add operations to the list."""
    given, held_out = data(weighted=weighted), data(300, weighted)
    run = trainer(regularizer=gs.L1(0.01) if weighted else None)
    stated = run.memory(given, validation=held_out, batch_size=512)
    backend: Any = run.backend
    assert backend.taken == 0 and not run.started
    Loop(run, given, held_out, 512)
    a_row = 50 * 4 + 8 + 8 + 8 * weighted
    assert stated["data"] == 2000 * a_row and stated["validation data"] == 300 * a_row
    state = run.state
    small = state.table.nbytes + state.rates.nbytes + state.counters.nbytes * 3 + state.totals.nbytes * 2
    arrays = sum(value for name, value in stated.items() if not name.endswith(("data", "shuffling")))
    assert backend.taken == arrays + small
    weights = 50 * 40 + 40 + 40 * 3 + 3
    assert weights * 4 <= stated["parameters"] <= (weights + 4 * 64) * 4
    assert stated["gradients"] == stated["parameters"] + 256 and stated["optimizer states"] == 2 * stated["parameters"]


@pytest.mark.parametrize("order", ORDERS)
def test_drawing_an_order_takes_no_more_than_is_stated(order: Any) -> None:
    """Without the sort itself, Thrust's, which holds keys and places twice: 32 bytes a row."""
    rows = Resident(backends.get("cupy"), gs.Dataset(np.ones((50_000, 1), np.float32), np.zeros(50_000, np.int64)))
    rows.shuffle(key_of(1), 0, order)
    pool().free_all_blocks()
    before = pool().total_bytes()
    rows.shuffle(key_of(1), 1, order)
    assert pool().total_bytes() - before < (DRAWN - 32) * 50_000
    assert trainer().memory(data(), batch_size=8)["shuffling"] == DRAWN * 2000


def test_a_run_that_does_not_fit_is_refused_before_anything_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    run, fits = trainer(), 700
    backend: Any = run.backend
    room = sum(run.memory(data(), batch_size=fits).values())
    monkeypatch.setattr(Tight, "room", room)
    with pytest.raises(gs.DeviceMemoryError, match=r"backend 'tight' \(parameters .* activations .*largest") as caught:
        run.fit(data(), batch_size=1500, verbose=False)
    assert int(re.findall(r"fits is ([\d,]+)", str(caught.value))[0]) == fits
    assert backend.taken == 0 and not run.started
    monkeypatch.setattr(Tight, "room", 1000)
    with pytest.raises(gs.DeviceMemoryError, match="no batch fits: take a smaller model or data set"):
        run.fit(data(), batch_size=8, verbose=False)


@pytest.mark.parametrize("what", ["kernels", "graphs"])
def test_memory_that_runs_out_beside_arrays_is_named_too(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver's error, where a kernel is loaded or a graph is launched."""
    run, driver = trainer("cupy"), importlib.import_module("cupy").cuda.driver

    def exhausted(*_: Any, **__: Any) -> Any:
        raise driver.CUDADriverError(2)

    if what == "graphs":
        run.fit(data(), epochs=1, batch_size=64, verbose=False)
        monkeypatch.setattr(Replay, "__call__", exhausted)
    else:
        monkeypatch.setattr(CuPyBackend, "_kernel", exhausted)
    with pytest.raises(gs.DeviceMemoryError, match=r"the GPU is out of memory: .* use a smaller .*CUDA_ERROR_OUT_OF"):
        run.fit(data(), epochs=3, batch_size=64, verbose=False)


def test_what_kernels_and_libraries_take_is_left_free(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = CuPyBackend()
    assert CuPyBackend.reserve >= 128 << 20
    monkeypatch.setattr(CuPyBackend, "reserve", 0)
    free, total = backend.memory()
    monkeypatch.setattr(CuPyBackend, "reserve", 1 << 20)
    assert backend.memory() == (free - (1 << 20), total)
    monkeypatch.setattr(CuPyBackend, "reserve", 1 << 60)
    assert backend.memory()[0] == pool().free_bytes()


def test_a_run_that_fits_to_the_byte_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer()
    monkeypatch.setattr(streamed, "BLOCK", 4096)
    needed = sum(run.memory(data(), batch_size=8).values())
    for room, streams in ((needed, False), (needed - 1, True)):
        monkeypatch.setattr(Tight, "room", room)
        demand = Demand.of(run.spec, run.backend, data(), None, EVALUATION_ROWS)
        assert demand.must_stream(8, started=run.started) is streams


KINDS = ("MatmulDesc", "MatmulPreference", "MatrixLayout")


@pytest.mark.parametrize("plans", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_plans_leave_nothing_behind(plans: int) -> None:
    """Neither memory of the device nor descriptions of cuBLASLt, nor objects of Python; no collector is at work."""
    given = gs.Dataset(np.ones((20, 3), np.float32), np.zeros(20, np.int64))

    def once() -> None:
        model = gs.Sequential(gs.Linear(3, 2), gs.ReLU(), gs.Linear(2, 2))
        loop = Loop(gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="cupy"), given, None, 4)
        steps = loop.plan.steps(4)
        loop.state.prepare(4)
        for _ in range(3):
            steps.run(1)
        assert steps.captured

    def left() -> list[int]:
        """Bytes of arrays, and what was made and not destroyed."""
        found = stand_in.counts()
        made = [found.get(f"cublasLt{kind}Create", 0) - found.get(f"cublasLt{kind}Destroy", 0) for kind in KINDS]
        graphs = found["cudaGraphInstantiate"] - found["cudaGraphExecDestroy"]
        streams = found["cudaStreamCreateWithPriority"] - found["cudaStreamDestroy"]
        return [pool().used_bytes(), *made, graphs, streams]

    for _ in range(3):
        once()
    gc.collect()
    gc.disable()
    try:
        backends.get("cupy").release()
        before, objects = left(), len(gc.get_objects())
        for _ in range(plans):
            once()
        assert left() == before
        backends.get("cupy").synchronize()
        backends.get("cupy").release()  # CuPy keeps pinned memory until copies from it have ended
        gc.collect()
        assert len(gc.get_objects()) - objects < plans // 2
    finally:
        gc.enable()


def test_a_run_moves_to_the_cpu_and_frees_the_device() -> None:
    whole, moved = trainer("cupy"), trainer("cupy")
    for run in (whole, moved):
        run.fit(data(), epochs=2, batch_size=64, verbose=False)
    whole.fit(data(), epochs=1, batch_size=64, verbose=False)
    arena, used = weakref.ref(moved.state.arena), pool().used_bytes()
    moved.to("numpy")
    gc.collect()
    assert moved.backend.name == "numpy" and moved.step == 64 and arena() is None
    assert pool().used_bytes() < used
    moved.fit(data(), epochs=1, batch_size=64, verbose=False)
    assert moved.history.records[-1]["loss"] == pytest.approx(whole.history.records[-1]["loss"], rel=1e-4)
    with pytest.raises(gs.ConfigurationError, match="'abacus' is not known"):
        moved.to("abacus")
    assert moved.backend.name == "numpy"
