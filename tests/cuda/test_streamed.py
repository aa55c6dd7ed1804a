"""Data sets that do not fit on the device: the same bits as resident ones, from blocks copied meanwhile."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_in
from registering import registered

import gearshift as gs
from gearshift import backends
from gearshift.backends.cupy import CuPyBackend
from gearshift.dl.data import streamed
from gearshift.dl.data.streamed import Streamed, block_rows
from gearshift.dl.training.loop import Loop
from gearshift.kernels.arrays.add import ADD

ROWS = 1003
ROOM = {"bytes": 1 << 40}


class Small(CuPyBackend):
    """A device whose memory a test sets, onto which all data must be copied."""

    name = "small-device"

    def memory(self) -> tuple[int, int]:
        return ROOM["bytes"], 1 << 40

    def bytes_to_hold(self, array: Any) -> int:
        return array.nbytes


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with registered(Small):
        monkeypatch.setattr(streamed, "BLOCK", 4096)  # some 100 rows
        monkeypatch.setitem(ROOM, "bytes", 1 << 40)
        yield


def data(rows: int = ROWS) -> gs.Dataset:
    random = np.random.default_rng(0)
    return gs.Dataset(random.integers(0, 256, (rows, 30)).astype(np.uint8), random.integers(0, 3, rows))


def trainer() -> gs.Trainer:
    layers = [gs.Standardize(30).fit(np.full(30, 127.5), np.full(30, 73.9)), gs.Linear(30, 12), gs.ReLU()]
    model = gs.Sequential(*layers, gs.Dropout(0.1), gs.Linear(12, 3))
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=Small.name)


def tighten(monkeypatch: pytest.MonkeyPatch, run: gs.Trainer, batch_size: int, **data: Any) -> None:
    """Leaves a byte too little for the data to lie on the device."""
    needed = run.memory(**data, batch_size=batch_size)
    monkeypatch.setitem(ROOM, "bytes", sum(needed.values()) - 1)


def bits(run: gs.Trainer) -> tuple[Any, ...]:
    weights = {name: value.tobytes() for name, value in run.model.state_dict().items()}
    measures = [{k: v for k, v in r.items() if not k.startswith(("seconds", "samples"))} for r in run.history.records]
    return weights, measures


@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.long), 8, 50, 200])
def test_streamed_training_has_the_bits_of_resident_training(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, held_out = (data(250), data(120)) if batch_size == 1 else (data(), data(3000))
    resident, run = trainer(), trainer()
    given: Any = {"validation": held_out, "epochs": 2, "batch_size": batch_size, "verbose": False}
    resident.fit(whole, **given)
    tighten(monkeypatch, run, batch_size, data=whole, validation=held_out)
    before = stand_in.counts()["cudaMemcpyAsync"]
    run.fit(whole, **given)
    assert stand_in.counts()["cudaMemcpyAsync"] - before >= 2 * whole.x.nbytes // 4096
    assert bits(run) == bits(resident)
    assert run.evaluate(held_out) == resident.evaluate(held_out)


def test_it_is_streamed_only_where_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not isinstance(Loop(trainer(), data(), None, 8).data, Streamed)
    tighten(monkeypatch, trainer(), 8, data=data())
    loop = Loop(trainer(), data(), None, 8)
    assert isinstance(loop.data, Streamed) and loop.data.block == block_rows(data(), 8) < ROWS // 4


def test_two_blocks_are_stated_and_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    resident = trainer().memory(data(), batch_size=8)
    tighten(monkeypatch, trainer(), 8, data=data())
    stated = trainer().memory(data(), batch_size=8)
    loop = Loop(trainer(), data(), None, 8)
    assert isinstance(loop.data, Streamed)
    assert stated["data"] == loop.data.x.nbytes + loop.data.y.nbytes + loop.data.places.nbytes < resident["data"]


def test_a_batch_that_does_not_fit_even_so_is_refused_with_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    tighten(monkeypatch, trainer(), 8, data=data())
    with pytest.raises(gs.DeviceMemoryError, match="the largest batch that fits is") as caught:
        trainer().fit(data(), batch_size=900, verbose=False)
    fits = int(str(caught.value).rpartition("fits is ")[2])
    trainer().fit(data(), batch_size=fits, verbose=False)


def test_a_host_without_pinned_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer()
    tighten(monkeypatch, run, 8, data=data())
    cupy = importlib.import_module("cupy")

    def exhausted(size: int) -> Any:
        raise cupy.cuda.runtime.CUDARuntimeError(2)

    monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", exhausted)
    with pytest.raises(gs.DeviceMemoryError, match=r"the host cannot allocate .* GiB of pinned memory to stream data"):
        run.fit(data(), batch_size=8, verbose=False)


def here(array: Any) -> np.ndarray:
    return backends.get(Small.name).to_numpy(array)


def test_batches_may_lie_across_the_edges_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they do after a stop at a row that is no multiple of the batch size."""
    given, batches = data(), [(0, 37), (37, 50), (87, 50), (137, 50), (187, 104), (291, 104), (395, 7)]
    rows = Streamed(backends.get(Small.name), given, 8)
    rows.order = np.random.default_rng(0).permutation(ROWS)
    for cursor, size in batches:
        assert rows.ready(cursor, size, 1) == 1
        places = rows.places[cursor : cursor + size]
        order = rows.order[cursor : cursor + size]
        assert np.array_equal(here(rows.x[places]), given.x[order])
        assert np.array_equal(here(rows.y[places, 0]), given.y[order])


def test_the_next_block_is_begun_before_the_steps_of_this_one() -> None:
    """And waited for by none of them: the copy and the steps may overlap."""
    backend: Any = backends.get(Small.name)
    given = data()
    rows = Streamed(backend, given, 8)
    for number in range(ROWS // rows.block):
        steps = rows.ready(number * rows.block, 8, 1000)
        assert steps == rows.block // 8 and number in rows.arrived
        last = (number + 1) * rows.block >= ROWS
        assert last or (number + 1 in rows.fills and number + 1 not in rows.arrived)
        if not last:
            rows.fills[number + 1].result()  # gathered, and given to the stream of copies
        places = rows.places[number * rows.block :][:8]
        assert np.array_equal(here(rows.x[places]), given.x[number * rows.block :][:8])


def test_a_failed_step_is_found_though_its_block_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    x, y = random.standard_normal((ROWS, 30)).astype(np.float32), random.integers(0, 3, ROWS)
    x[500] = 3e38  # the sums of the first layer overflow
    model = gs.Sequential(gs.Linear(30, 12), gs.ReLU(), gs.Linear(12, 3))
    run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=Small.name)
    tighten(monkeypatch, run, 8, data=gs.Dataset(x, y))
    with pytest.raises(gs.NonFiniteLoss, match=r"begins in layer '0'"):
        run.fit(x, y, epochs=2, batch_size=8, verbose=False)


def test_a_memory_map_is_read_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", data().x)
    mapped = gs.Dataset(np.load(tmp_path / "x.npy", mmap_mode="r"), data().y)
    resident, run = trainer(), trainer()
    resident.fit(data(), epochs=2, batch_size=16, verbose=False)
    tighten(monkeypatch, run, 16, data=data())
    run.fit(mapped, epochs=2, batch_size=16, verbose=False)
    assert bits(run) == bits(resident)


def test_a_block_may_be_copied_while_a_step_is_captured() -> None:
    """The thread that fills blocks does not wait for captures: it copies and waits on a stream of its own."""
    backend: Any = backends.get(Small.name)
    copies = backend.copies()
    pinned, there = copies.pinned((4,), np.float32), backend.zeros((4,), np.float32)
    total = backend.zeros((4,), np.float32)
    pinned[:] = [1, 2, 3, 4]
    before = copies.now()
    add = backend.bind(ADD, [there, there, total], {})
    add()  # so that it is compiled
    backend.synchronize()

    def work() -> None:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: copies.start([(there, pinned)], before).synchronize()).result()
        add()

    replay = backend.capture(work)
    assert here(there).tolist() == [1, 2, 3, 4] and not here(total).any()
    replay()
    assert here(total).tolist() == [2, 4, 6, 8]
