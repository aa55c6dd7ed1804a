"""Memory: stated before it is taken, refused with a batch that fits, and given back."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import unavailable
from fake_cupy import CudaOnCpu, stand_ins

import gearshift as gs
from gearshift.dl.loop import EVALUATION_ROWS, Loop


class Tight(CudaOnCpu):
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
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if unavailable():
        pytest.skip(unavailable())
    with stand_ins(Tight):
        yield


def trainer(backend: str = Tight.name) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(50, 40), gs.ReLU(), gs.Linear(40, 3))
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=backend, clip_norm=1.0)


def data(rows: int = 2000) -> gs.Dataset:
    random = np.random.default_rng(0)
    return gs.Dataset(random.standard_normal((rows, 50)).astype(np.float32), random.integers(0, 3, rows))


def test_weights_of_rows_are_stated_too() -> None:
    run, part = trainer(), data()
    weighted = gs.Dataset(part.x, part.y, np.ones(len(part)))
    stated = run.memory(weighted, validation=weighted, batch_size=512)
    loop = Loop(run, weighted, weighted, 512)
    assert loop.validate is not None
    assert stated["activations"] == loop.plan.bytes
    assert stated["validation activations"] == loop.validate.plan.bytes


def test_what_is_stated_is_what_is_taken() -> None:
    run, held_out = trainer(), data(300)
    stated = run.memory(data(), validation=held_out, batch_size=512)
    backend: Any = run.backend
    assert backend.taken == 0 and not run.started
    Loop(run, data(), held_out, 512)
    assert stated["data"] == 2000 * (50 * 4 + 8 + 8) and stated["validation data"] == 300 * (50 * 4 + 8 + 8)
    state = run.state
    small = state.table.nbytes + state.rates.nbytes + state.counters.nbytes * 3 + state.totals.nbytes * 2
    arrays = sum(value for name, value in stated.items() if not name.endswith("data"))
    assert backend.taken == arrays + small
    weights = 50 * 40 + 40 + 40 * 3 + 3
    assert weights * 4 <= stated["parameters"] <= (weights + 4 * 64) * 4
    assert stated["gradients"] == stated["parameters"] and stated["optimizer states"] == 2 * stated["parameters"]


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


def test_arrays_of_the_host_are_no_memory_of_its_backends() -> None:
    assert trainer("numpy").memory(data(), batch_size=8)["data"] == 2000 * 8  # the order alone
    assert EVALUATION_ROWS > 300


def test_a_run_moves_to_the_cpu_and_frees_the_device() -> None:
    whole, moved = trainer(), trainer()
    for run in (whole, moved):
        run.fit(data(), epochs=2, batch_size=64, verbose=False)
    whole.fit(data(), epochs=1, batch_size=64, verbose=False)
    backend: Any = moved.backend
    arena = weakref.ref(moved.state.arena)
    moved.to("numpy")
    gc.collect()
    assert moved.backend.name == "numpy" and moved.step == 64 and arena() is None and backend.device.released
    moved.fit(data(), epochs=1, batch_size=64, verbose=False)
    assert moved.history.records[-1]["loss"] == pytest.approx(whole.history.records[-1]["loss"], rel=1e-4)
    with pytest.raises(gs.ConfigurationError, match="'abacus' is not known"):
        moved.to("abacus")
    assert moved.backend.name == "numpy"
