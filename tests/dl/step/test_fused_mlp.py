"""The fused MLP against the operations that it stands for, and against float64."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from built_in import built_in
from hypothesis import given, settings
from hypothesis import strategies as st

import gearshift as gs
from gearshift.backends.errors import NonFiniteLoss
from gearshift.backends.numpy import NumPyBackend
from gearshift.backends.thread_pool import ThreadPool
from gearshift.backends.vectors import vector_bytes
from gearshift.dl.step.dense_layout import Layout
from gearshift.dl.step.dense_plan import BLOCK, TALL_BLOCK, DensePlan
from gearshift.dl.step.fused_mlp import recognize
from gearshift.dl.step.plan import Plan
from gearshift.dl.step.pooled_plan import PooledPlan
from gearshift.dl.training.loop import Loop
from gearshift.kernels.dense.parts import LayerPlaces, skip

CPUS = ("numba", "numpy")
ACTIVATIONS = (gs.ReLU, gs.Tanh, gs.Sigmoid, None)


def trainer(
    widths: tuple[int, ...],
    backend: str,
    *,
    loss: gs.Loss | None = None,
    optimizer: gs.Optimizer | None = None,
    bias: bool = True,
    hidden: type[gs.Layer] | None = gs.ReLU,
    dtype: str = "float64",
    standardize: bool = False,
    **more,
) -> gs.Trainer:
    layers: list[gs.Layer] = []
    if standardize:
        layers.append(gs.Standardize(widths[0]).fit(np.linspace(-1, 1, widths[0]), np.linspace(1, 2, widths[0])))
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        layers.append(gs.Linear(inputs, outputs, bias=bias))
        if hidden is not None and i < len(widths) - 2:
            layers.append(hidden())
    model = gs.Sequential(*layers, dtype=dtype)
    return gs.Trainer(model, loss or gs.CrossEntropyLoss(), optimizer or gs.Adam(lr=1e-2), backend=backend, **more)


def rows_of(widths: tuple[int, ...], n: int, classes: bool = True, seed: int = 0) -> gs.Dataset:
    random = np.random.default_rng(seed)
    y = random.integers(0, widths[-1], n) if classes else random.uniform(size=(n, widths[-1]))
    return gs.Dataset(random.normal(size=(n, widths[0])), y)


def fitted(run: gs.Trainer, data: gs.Dataset, batch: int, epochs: int = 2) -> dict[str, np.ndarray]:
    run.fit(data, epochs=epochs, batch_size=batch, verbose=False)
    return run.model.state_dict()


def plan_of(run: gs.Trainer, data: gs.Dataset, batch: int) -> Plan:
    return Loop(run, data, None, batch).plan


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
def test_many_weights_have_taller_blocks(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    monkeypatch.setattr("gearshift.backends.matrix_unit.available", lambda: False)
    widths, batch = (300, 130, 60, 10), 3 * BLOCK + 40
    data = rows_of(widths, batch)
    for many, block in ((1 << 18, BLOCK), (1, TALL_BLOCK)):
        monkeypatch.setattr("gearshift.dl.step.dense_plan.MANY", many)
        plan = plan_of(trainer(widths, "numba", dtype=dtype), data, batch)
        assert isinstance(plan, DensePlan) and plan.block == block
    test_sizes_beyond_tiles_and_blocks(widths, batch, dtype)


def bytes_of(width: int, n: int, seed: int = 0) -> tuple[gs.Dataset, gs.Standardize]:
    """Bytes, and a standardisation that some columns make hard: constant, nearly constant, far from their mean."""
    random = np.random.default_rng(seed)
    x = random.integers(0, 256, (n, width)).astype(np.uint8)
    x[:, ::5], x[:, 1::7] = 0, random.integers(200, 202, (n, len(range(1, width, 7))))
    mean, std = x.mean(0) + random.uniform(-0.5, 0.5, width), np.maximum(x.std(0), 0.3)
    mean[2::9] = random.uniform(-300, 500, len(mean[2::9]))
    std[2::9] = 200
    return gs.Dataset(x, random.integers(0, 10, n)), gs.Standardize(width).fit(mean, std)


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


@pytest.mark.parametrize("code", [1, 2, 9])
def test_a_layer_narrower_than_its_parts(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some parts of it have no inputs: what they add to the sums is 0."""
    widths, data = (10, 100, code, 100, 10), rows_of((10, 10), 56, classes=False)
    monkeypatch.setattr(ThreadPool, "parts", lambda *_: 3)
    chain, listed = (trainer(widths, backend, loss=gs.MSELoss()) for backend in ("numba", "numpy"))
    found, expected = fitted(chain, data, 20), fitted(listed, data, 20)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12)


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
    monkeypatch.setattr("gearshift.dl.step.dense_plan.BLOCK", 68)
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


@pytest.mark.parametrize(
    ("widths", "loss", "hidden"),
    [
        ((70, 45, 33, 10), gs.CrossEntropyLoss(), gs.ReLU),
        ((70, 45, 33, 10), gs.CrossEntropyLoss(), gs.SiLU),
        ((70, 33, 99), gs.MSELoss(), gs.ReLU),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_nothing_is_written_between_the_buffers(
    widths: tuple[int, ...], loss: gs.Loss, hidden: type[gs.Layer], whole: bool
) -> None:
    """Guard zones around every buffer of the workspace, and the padding of the arena."""
    data = rows_of(widths, 700, isinstance(loss, gs.CrossEntropyLoss))
    if whole:
        data = gs.Dataset((np.abs(data.x) * 20).astype(np.uint8), data.y)
    run = trainer(widths, "numba", dtype="float32", loss=loss, hidden=hidden)
    plan = plan_of(run, data, 600)
    assert isinstance(plan, DensePlan)
    mlp = recognize(plan.graph)
    assert mlp is not None
    layout = Layout(mlp.layers, plan.arena, plan.block, plan.parts, several=True, gap=256)
    work = np.full(layout.size, 7, np.float32)
    formula = LayerPlaces._fields.index("formula")
    layout.layers[:, formula] = plan._layers[:, formula]
    plan._layers, plan._memory = layout.layers, plan._memory._replace(work=work)
    plan._tools = [
        tools._replace(panels=np.full(len(tools.panels) and layout.panels + 1024, 7, np.int32)) for tools in plan._tools
    ]
    inside = np.zeros(layout.size, bool)
    for start, stop in layout.places:
        inside[start:stop] = True
    for batch in (600, 100, 17, 3):
        run.state.begin_epoch()
        run.state.prepare(1)
        plan.run(batch, 1)
    assert (work[~inside] == 7).all()
    assert all((tools.panels[layout.panels :] == 7).all() for tools in plan._tools)
    arena = np.array(run.state.arena.values)
    for parameter in run.state.arena.parameters:
        run.state.arena.view(arena, parameter)[...] = 0
    assert not arena.any()


def test_what_is_not_a_plain_mlp_runs_operation_by_operation() -> None:
    data = rows_of((8, 6, 4), 20)
    penalised = gs.Sequential(gs.Linear(8, 6), gs.L1Activity(), gs.Linear(6, 4))
    charged = gs.Trainer(penalised, gs.CrossEntropyLoss(), gs.Adam(), backend="numba")
    normed = gs.Sequential(gs.Linear(8, 6), gs.BatchNorm1d(6), gs.Linear(6, 4))
    normalised = gs.Trainer(normed, gs.CrossEntropyLoss(), gs.Adam(), backend="numba")
    shared = gs.Linear(8, 8)
    twice = gs.Trainer(gs.Sequential(shared, gs.ReLU(), shared), gs.CrossEntropyLoss(), gs.Adam(), backend="numba")
    for run in (charged, normalised, twice):
        assert type(plan_of(run, data, 5)) is PooledPlan


def test_evaluation_is_a_chain_too() -> None:
    widths, data = (30, 20, 5), rows_of((30, 20, 5), 101)
    chain, listed = trainer(widths, "numba"), trainer(widths, "numpy")
    assert isinstance(chain.evaluator(data, 40).plan, DensePlan)
    found, expected = chain.evaluator(data, 40)(), listed.evaluator(data, 40)()
    assert found == pytest.approx(expected, rel=1e-12)


def held() -> int:
    """Bytes that Python holds, without the bounded caches of its own: freed tuples, and names of attributes."""
    gc.collect()
    sys._clear_type_cache()
    return tracemalloc.get_traced_memory()[0]


def test_memory_does_not_grow_and_calls_are_constant() -> None:
    """10,000 steps after a warm-up: no growth, and one call of the compiled loop each run."""
    widths, data = (20, 16, 4), rows_of((20, 16, 4), 64)
    run = trainer(widths, "numba", dtype="float32")
    plan = plan_of(run, data, 32)
    assert isinstance(plan, DensePlan)

    def step() -> None:
        run.state.begin_epoch()
        run.state.advanced(plan.run(32, min(2, run.state.prepare(2))), 32)

    calls = []
    steps, plan._steps = plan._steps, lambda *arguments: (calls.append(1), steps(*arguments))
    for _ in range(100):
        step()
    plan._steps = steps
    assert len(calls) <= 200 * plan._pool.threads
    tracemalloc.start()
    try:
        step()
        before = held()
        for _ in range(5_000):
            step()
        grown = held() - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000  # bytes: the schedule's next table, at most


def test_what_a_plan_costs_and_what_limits_it() -> None:
    """One interface: the fused MLP waits where the list launches, and does not store the gradients of weights."""
    widths, data = (64, 48, 10), rows_of((64, 48, 10), 600)
    chain = plan_of(trainer(widths, "numba", dtype="float32"), data, 2 * BLOCK)
    listed = plan_of(trainer(widths, "numpy", dtype="float32"), data, 2 * BLOCK)
    assert (chain.kind, listed.kind) == ("compiled", "graph")
    assert listed.thread_pool is None and listed.threads == 1 and not listed.short_handed
    *costs, wait = chain.costs(BLOCK + 1)
    others = listed.costs(BLOCK + 1)
    assert [(cost.operation, cost.flops) for cost in costs] == [(cost.operation, cost.flops) for cost in others]
    assert {cost.launches for cost in costs} == {0} and {cost.launches for cost in others} == {1}
    assert wait.operation == "wait" and wait.launches == (0 if chain.thread_pool is None else 2 * 2 * 2)
    gradients = {cost.layer: cost.written for cost in others if cost.product == "weight gradient"}
    assert gradients == {"0": 4 * 64 * 48, "2": 4 * 48 * 10}
    assert not any(cost.written for cost in costs if cost.product == "weight gradient")
    (adam,) = (cost for cost in costs if cost.operation == "adam")
    (other,) = (cost for cost in others if cost.operation == "adam")
    assert other.read - adam.read == 4 * chain.arena.size  # the gradient


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


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_products_can_be_run_alone(backend: str) -> None:
    """Each counts the floating-point operations of its shape; running it changes no parameter."""
    widths, rows = (64, 48, 10), 32
    plan = plan_of(trainer(widths, backend, dtype="float32"), rows_of(widths, 100), rows)
    before, found = plan.arena.values.copy(), plan.products(rows)
    forward = [(one.layer, one.flops) for one in found if one.product == "forward"]
    assert forward == [("0", 2 * rows * 64 * 48), ("2", 2 * rows * 48 * 10)]
    for one in found:
        one.run(2)
    assert (plan.arena.values == before).all()
