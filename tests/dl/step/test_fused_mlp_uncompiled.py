"""The loops of the fused MLP as plain Python, without Numba."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
from fused_runs import CPUS, bytes_of, plan_of, rows_of, trainer

import gearshift as gs
from gearshift.backends.numpy import NumPyBackend
from gearshift.backends.thread_pool import ThreadPool
from gearshift.backends.vectors import vector_bytes
from gearshift.dl.step.dense_plan import DensePlan
from gearshift.kernels.dense.parts import skip


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops run as plain Python, with the functions that a plan chooses."""

    def text_of(self, text, **functions):
        for name, module in list(sys.modules.items()):
            if name.startswith("gearshift.kernels.dense."):
                for replaced in functions.keys() & vars(module).keys():
                    if functions[replaced] is skip or not name.endswith("_engine"):
                        monkeypatch.setattr(module, replaced, functions[replaced])
        return getattr(sys.modules[text.__module__], text.__name__)

    monkeypatch.setattr("gearshift.backends.numba.NumbaBackend.compiled", text_of)
    monkeypatch.setattr("gearshift.backends.numba.NumbaBackend.bind", NumPyBackend.bind)


@pytest.mark.usefixtures("uncompiled")
def test_the_text_uncompiled() -> None:
    """One thread does the parts in turn."""
    widths, data = (20, 18, 9, 4), rows_of((20, 18, 9, 4), 12)
    run, listed = (trainer(widths, name, optimizer=gs.RMSprop(lr=1e-3)) for name in CPUS)
    plan = plan_of(run, data, 5)
    assert isinstance(plan, DensePlan)
    plan._pool = ThreadPool(1)
    for batch in (5, 5, 2):
        run.state.prepare(1)
        listed.state.prepare(1)
        other = plan_of(listed, data, 5)
        assert plan.run(batch, 1) == other.run(batch, 1) == 1
    np.testing.assert_allclose(run.state.arena.values, listed.state.arena.values, rtol=1e-9, atol=1e-12)


@pytest.mark.skipif(vector_bytes() < 64, reason="CPUs with a matrix unit have vectors of 64 bytes")
@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_text_of_a_matrix_unit(monkeypatch: pytest.MonkeyPatch, whole: bool, parts: int) -> None:
    """On CPUs without a matrix unit, too: two blocks of a batch, then a batch that is too short for the unit."""
    monkeypatch.setattr("gearshift.backends.matrix_unit.available", lambda: True)
    monkeypatch.setattr(ThreadPool, "parts", lambda *_: parts)
    monkeypatch.setattr("gearshift.dl.step.dense_layout.BLOCK", 68)
    monkeypatch.setattr("gearshift.kernels.dense.matrix_unit_engine.SPLIT", 32)
    widths, (data, first) = (37, 20, 9, 10), bytes_of(37, 130)
    if not whole:
        data = gs.Dataset(data.x.astype(np.float32), data.y)
    found = {}
    for backend, dtype in (("numba", "float32"), ("numpy", "float64")):
        layers = [layer for shape in pairwise(widths) for layer in (gs.Linear(*shape), gs.ReLU())][:-1]
        model = gs.Sequential(first, *layers, dtype=dtype)
        run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=0.05), backend=backend)
        start, plan = model.state_dict(), plan_of(run, data, 100)
        if isinstance(plan, DensePlan):
            plan._pool = ThreadPool(1)
            assert plan._unit is not None and (plan._bytes is not None) == whole
        for batch in (100, 30):
            run.state.prepare(1)
            plan.run(batch, 1)
        found[dtype] = {name: value - start[name] for name, value in model.state_dict().items()}
    for name, exact in found["float64"].items():
        assert np.abs(found["float32"][name] - exact).max() <= 2e-5 * np.abs(exact).max(), name
