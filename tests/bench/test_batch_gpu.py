"""`gearshift bench` on the GPU backend, whose kernels and products run on the CPU from the same source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import unavailable
from fake_cupy import CudaOnCpu

import gearshift as gs
from gearshift import backends
from gearshift.backends import registry
from gearshift.bench.batch import ceilings, work
from gearshift.bench.batch.steps import Steps
from gearshift.dl.resident import Resident

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())

GUARD = 1 << 16  # bytes before and behind each array


@pytest.fixture(autouse=True)
def stand_in() -> Iterator[None]:
    before = dict(registry._registered)
    backends.register(CudaOnCpu.name, CudaOnCpu)
    yield
    registry._registered.clear()
    registry._registered.update(before)
    registry._forget()


def steps(batch: int, precision: str = "float32", *layers: gs.Layer) -> Steps:
    """The steps of a small network on 40 rows, that have run a few."""
    random = np.random.default_rng(0)
    data = gs.Dataset(random.standard_normal((40, 30)).astype(np.float32), random.integers(0, 12, 40))
    model = gs.Sequential(gs.Linear(30, 40), gs.ReLU(), *layers, gs.Linear(40, 12))
    trainer = gs.Trainer(
        model, gs.CrossEntropyLoss(), gs.Adam(), backend=CudaOnCpu.name, precision=precision, clip_norm=1.0
    )
    found = Steps(trainer, Resident(trainer.backend, data), batch)
    found.timed(3)
    return found


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_ceilings_of_launches_touch_their_own_arrays_alone(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels take sizes and places from arrays that were made small: each must still be true of the others."""
    plan = steps(8, precision).plan
    guarded: list[tuple[np.ndarray, int]] = []

    def zeros(shape: Any, dtype: Any) -> np.ndarray:
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        raw = np.full(2 * GUARD + size, 77, dtype=np.uint8)
        raw[GUARD : GUARD + size] = 0
        guarded.append((raw, size))
        return raw[GUARD : GUARD + size].view(dtype).reshape(shape)

    monkeypatch.setattr(plan.backend, "zeros", zeros)
    found = ceilings._launches(plan)
    assert {call.node.operation.name for call in plan.bind(8)} == found.keys()
    assert len(guarded) > 20
    for raw, size in guarded:
        assert (raw[:GUARD] == 77).all() and (raw[GUARD + size :] == 77).all()


def test_what_does_not_go_together_on_next_to_no_data_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every array of the same size by itself: the definition says what is wrong before a kernel writes anywhere."""
    plan = steps(8).plan
    call = next(call for call in plan.bind(8) if call.node.operation.name == "adam")
    assert ceilings._small(call, plan.backend) is not None
    monkeypatch.setattr(ceilings, "KEPT", ceilings.KEPT - {"table"})  # eight rows then, of which the third is read
    monkeypatch.setattr(ceilings, "SMALL", 1)
    assert ceilings._small(call, plan.backend) is None


def test_products_with_epilogues_count_as_products() -> None:
    plan = steps(8).plan
    found = [(cost.layer, cost.product) for cost in work.costs(plan, 8) if cost.product]
    kinds = [
        ("0", "forward"),
        ("2", "forward"),
        ("2", "weight gradient"),
        ("0", "input gradient"),
        ("0", "weight gradient"),
    ]
    assert sorted(found) == sorted(kinds)
    rates = ceilings._list_products({8: plan})
    assert {(rate.layer, rate.product) for rate in rates} == set(kinds)
