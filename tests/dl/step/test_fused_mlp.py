"""The fused MLP against the operations that it stands for, and against float64."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from built_in import built_in
from fused_runs import CPUS, bytes_of, fitted, plan_of, rows_of, trainer
from hypothesis import given, settings
from hypothesis import strategies as st

import gearshift as gs
from gearshift.backends.errors import NonFiniteLoss
from gearshift.backends.thread_pool import ThreadPool
from gearshift.dl.step.dense_layout import BLOCK, SHORT_BLOCK, TALL_BLOCK
from gearshift.dl.step.dense_plan import DensePlan
from gearshift.kernels.dense import vector_engine

ACTIVATIONS = (gs.ReLU, gs.Tanh, gs.Sigmoid, None)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=5),
    st.integers(1, 40),
    st.sampled_from(ACTIVATIONS),
    st.booleans(),
    st.booleans(),
    st.sampled_from([gs.CrossEntropyLoss, gs.MSELoss, gs.BCEWithLogitsLoss]),
    st.sampled_from(
        [
            gs.Adam(lr=1e-2, weight_decay=1e-3),
            gs.SGD(lr=1e-2, momentum=0.9),
            gs.SGD(lr=0.1),
            gs.RMSprop(lr=1e-3, centered=True, momentum=0.5),
            gs.Momentum(lr=1e-2),
            gs.Adagrad(lr=1e-2),
            gs.Adadelta(),
        ]
    ),
)
def test_it_trains_as_the_list_does(widths, batch, hidden, bias, standardize, loss, optimizer) -> None:
    widths = tuple(widths)
    data = rows_of(widths, 53, loss is gs.CrossEntropyLoss)
    kind = {"loss": loss(), "optimizer": optimizer, "bias": bias, "hidden": hidden, "standardize": standardize}
    chain, listed = trainer(widths, "numba", **kind), trainer(widths, "numpy", **kind)
    assert isinstance(plan_of(chain, data, batch), DensePlan)
    assert not isinstance(plan_of(listed, data, batch), DensePlan)
    try:
        expected = fitted(listed, data, batch)
    except NonFiniteLoss:  # as that of a deep linear network may be
        with pytest.raises(NonFiniteLoss):
            fitted(chain, data, batch)
        return
    found = fitted(chain, data, batch)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-7, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(chain.history["loss"], listed.history["loss"], rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 120), min_size=2, max_size=4), st.integers(64, 330), st.integers(2, 3))
def test_float32_in_any_shape(widths, batch, parts) -> None:
    """Batches that a matrix unit takes, divided as larger networks are: some parts have nothing.

    Not with ReLU: an input that rounding moves to the other side of 0 changes a whole column of the gradient.
    """
    widths, data = tuple(widths), rows_of(tuple(widths), 400)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ThreadPool, "parts", lambda *_: parts)
        run = trainer(widths, "numba", dtype="float32", hidden=gs.Tanh, optimizer=gs.SGD(lr=0.1))
        chain = fitted(run, data, batch, 1)
    exact = fitted(trainer(widths, "numpy", hidden=gs.Tanh, optimizer=gs.SGD(lr=0.1)), data, batch, 1)
    for name, value in exact.items():
        assert np.abs(chain[name] - value).max() < 1e-5 * max(np.abs(value).max(), 1e-1), name


@pytest.mark.parametrize("widths", [(300, 130, 60, 10), (300, 10), (784, 5, 3)])
@pytest.mark.parametrize("batch", [1, 3, 17, BLOCK, BLOCK + 1, 3 * BLOCK + 40])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sizes_beyond_tiles_and_blocks(widths: tuple[int, ...], batch: int, dtype: str) -> None:
    data = rows_of(widths, 3 * BLOCK + 50 if batch > 17 else 40)
    # plain SGD: it does not divide by small gradients, so float32 errors stay in proportion
    chain = fitted(trainer(widths, "numba", dtype=dtype, optimizer=gs.SGD(lr=0.1)), data, batch, 1)
    exact = fitted(trainer(widths, "numpy", optimizer=gs.SGD(lr=0.1)), data, batch, 1)
    for name, value in exact.items():
        error = np.abs(chain[name] - value).max() / max(np.abs(value).max(), 1e-3)
        assert error < (1e-5 if dtype == "float32" else 1e-12), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("widths", "many", "block"),
    [
        ((300, 130, 60, 10), 1 << 18, BLOCK),
        ((300, 130, 60, 10), 1, TALL_BLOCK),
        ((1100, 40, 10), 1 << 18, SHORT_BLOCK),
    ],
)
def test_blocks_for_many_weights_and_wide_rows(
    monkeypatch: pytest.MonkeyPatch, widths: tuple[int, ...], many: int, block: int, dtype: str
) -> None:
    monkeypatch.setattr("gearshift.backends.matrix_unit.available", lambda: False)
    monkeypatch.setattr("gearshift.dl.step.dense_layout.MANY", many)
    batch = 3 * BLOCK + 40
    plan = plan_of(trainer(widths, "numba", dtype=dtype), rows_of(widths, batch), batch)
    assert isinstance(plan, DensePlan) and plan.block == block
    test_sizes_beyond_tiles_and_blocks(widths, batch, dtype)


@pytest.mark.parametrize("widths", [(300, 130, 60, 10), (33, 10), (7, 41, 10)])
@pytest.mark.parametrize("batch", [63, 100, BLOCK + 70])
@pytest.mark.parametrize("standardized", [True, False])
def test_bytes(widths: tuple[int, ...], batch: int, standardized: bool) -> None:
    """A matrix unit multiplies integers as they are, and the standardisation goes with the weights."""
    data, first = bytes_of(widths[0], 2 * BLOCK)
    found = {}
    for backend, dtype in (("numba", "float32"), ("numpy", "float64")):
        layers = [layer for shape in pairwise(widths) for layer in (gs.Linear(*shape), gs.ReLU())][:-1]
        model = gs.Sequential(*([first] if standardized else []), *layers, dtype=dtype)
        rate = 0.05 if standardized else 1e-6
        run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=rate), backend=backend)
        start = fitted(run, data, batch, 0)
        found[dtype] = {
            name: value.astype(np.float64) - start[name] for name, value in fitted(run, data, batch, 1).items()
        }
    for name, value in found["float64"].items():
        assert np.abs(found["float32"][name] - value).max() < 3e-5 * np.abs(value).max() + 1e-7, name


@pytest.mark.parametrize("widths", [(300, 130, 60, 10), (40, 200, 7)])
def test_vector_units_alone(widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a processor without a matrix unit does, on one that has it."""
    monkeypatch.setattr("gearshift.backends.matrix_unit.available", lambda: False)
    test_sizes_beyond_tiles_and_blocks(widths, BLOCK + 70, "float32")


@pytest.mark.parametrize("batch", [37, 100])
@pytest.mark.parametrize("threads", [1, 3])
def test_bits_do_not_depend_on_the_number_of_threads(threads: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data, widths = rows_of((60, 50, 40, 10), 300), (60, 50, 40, 10)
    expected = fitted(trainer(widths, "numba", dtype="float32"), data, batch)
    first = plan_of(trainer(widths, "numba", dtype="float32"), data, batch)
    assert isinstance(first, DensePlan)
    parts = first.parts
    other = ThreadPool(threads)
    monkeypatch.setattr(ThreadPool, "parts", lambda *_: parts)
    monkeypatch.setattr("gearshift.dl.step.plans.thread_pool", lambda: other)
    found = fitted(trainer(widths, "numba", dtype="float32"), data, batch)
    for name, value in expected.items():
        assert found[name].tobytes() == value.tobytes(), name


@pytest.mark.parametrize(("parts", "threads"), [(1, 1), (2, 1), (2, 2), (3, 2), (5, 2)])
@pytest.mark.parametrize("widths", [(700, 260, 90, 10), (784, 1000, 10)])
def test_bits_do_not_depend_on_chunks(
    widths: tuple[int, ...], parts: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or on the thread that computes them: batches of several blocks, the last with fewer rows than are divided."""
    pool, data, batch = ThreadPool(max(parts, threads)), rows_of(widths, 3 * BLOCK + 40), 2 * BLOCK + 20
    monkeypatch.setattr(ThreadPool, "parts", lambda *_: parts)
    monkeypatch.setattr(ThreadPool, "threads_for", lambda *_: threads)
    monkeypatch.setattr("gearshift.dl.step.plans.thread_pool", lambda: pool)
    monkeypatch.setattr("gearshift.dl.step.plans.chosen", lambda backend, name, found, *_: found[0])
    found, waits = [], []
    for chunks in (1, 3, 3):
        monkeypatch.setattr(vector_engine, "CHUNKS", chunks)
        run = trainer(widths, "numba", dtype="float32", optimizer=gs.Adam(lr=1e-2))
        plan = plan_of(run, data, batch)
        assert isinstance(plan, DensePlan)
        waits.append(plan.waits(batch) - (batch // plan.block if parts > 1 and chunks > 1 else 0))
        found.append(fitted(run, data, batch))
    assert waits[0] == waits[1] == (2 * (len(widths) - 1) * -(-batch // plan.block) if parts > 1 else 0)
    for other in found[1:]:
        for name, value in found[0].items():
            assert other[name].tobytes() == value.tobytes(), name


@pytest.mark.parametrize("rows", [20, 90])
@pytest.mark.parametrize("options", [{}, {"optimizer": gs.Nesterov(lr=1e-2), "clip_norm": 0.5}])
def test_threads_that_are_late_are_waited_for(
    options: dict[str, Any], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More threads than CPUs, so that some stand still anywhere; a last block of few rows is not divided."""
    widths, batch, threads = (300, 260, 10), BLOCK + rows, 4
    pool, data = ThreadPool(threads), rows_of(widths, 4 * batch)
    monkeypatch.setattr(ThreadPool, "parts", lambda *_: threads)
    monkeypatch.setattr(ThreadPool, "threads_for", lambda *_: threads)
    monkeypatch.setattr("gearshift.dl.step.plans.thread_pool", lambda: pool)
    monkeypatch.setattr("gearshift.dl.step.plans.chosen", lambda backend, name, found, *_: found[0])
    found = []
    for chunks in (1, 3, 3, 3):
        monkeypatch.setattr(vector_engine, "CHUNKS", chunks)
        run = trainer(widths, "numba", dtype="float32", **{"optimizer": gs.Adam(lr=1e-3)} | options)
        found.append(fitted(run, data, batch, 20))
    for other in found[1:]:
        for name, value in found[0].items():
            assert other[name].tobytes() == value.tobytes(), name


@pytest.mark.parametrize("code", [1, 2, 9])
def test_a_layer_narrower_than_its_parts(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some parts of it have no inputs: what they add to the sums is 0."""
    widths, data = (10, 100, code, 100, 10), rows_of((10, 10), 56, classes=False)
    monkeypatch.setattr(ThreadPool, "parts", lambda *_: 3)
    chain, listed = (trainer(widths, backend, loss=gs.MSELoss()) for backend in ("numba", "numpy"))
    found, expected = fitted(chain, data, 20), fitted(listed, data, 20)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12)


def test_evaluation_is_a_chain_too() -> None:
    widths, data = (30, 20, 5), rows_of((30, 20, 5), 101)
    chain, listed = trainer(widths, "numba"), trainer(widths, "numpy")
    assert isinstance(chain.evaluator(data, 40).plan, DensePlan)
    found, expected = chain.evaluator(data, 40)(), listed.evaluator(data, 40)()
    assert found == pytest.approx(expected, rel=1e-12)


OTHERS = [
    kind
    for kind in built_in(gs.Loss.registered).values()
    if kind not in (gs.CrossEntropyLoss, gs.MSELoss, gs.BCEWithLogitsLoss)
]


@pytest.mark.parametrize("kind", OTHERS)
def test_every_other_loss_of_the_library(kind: type[gs.Loss]) -> None:
    """Against the list, in float64, over one block of rows and over several."""
    widths, random = (9, 12, 4), np.random.default_rng(3)
    n = BLOCK + 60
    y = {
        "classes": random.integers(0, 4, n),
        "binary": random.choice([0.0, 1.0], (n, 4)),
        "values": random.dirichlet(np.ones(4), n),  # also a distribution over classes
    }[kind.targets]
    data = gs.Dataset(random.normal(size=(n, 9)), y)
    for batch in (7, n):
        chain, listed = (trainer(widths, backend, loss=kind(), optimizer=gs.SGD(lr=0.1)) for backend in CPUS)
        assert isinstance(plan_of(chain, data, batch), DensePlan)
        found, expected = fitted(chain, data, batch), fitted(listed, data, batch)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-7, atol=1e-9, err_msg=name)
        for metric in kind.metrics:
            np.testing.assert_allclose(chain.history[metric], listed.history[metric], rtol=1e-9)
