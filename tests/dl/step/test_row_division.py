"""A fused MLP whose batches are divided by rows, against the operations that it stands for, in float64."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.thread_pool import ThreadPool, max_share, share
from gearshift.dl.step import plans
from gearshift.dl.step.dense_choice import ROWS, VECTORS, Choice
from gearshift.dl.step.dense_layout import BLOCK, Layout
from gearshift.dl.step.dense_plan import DensePlan
from gearshift.dl.step.fused_mlp import recognize
from gearshift.dl.training.loop import Loop
from gearshift.kernels.dense.parts import LayerPlaces

WIDTHS = (37, 20, 9, 4)
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped by its norm": {"clip_norm": 0.1},
    "clipped by value": {"clip_value": 1e-3},
    "penalty": {"regularizer": gs.L1(0.01)},
    "average": {"ema": 0.9},
    "moves ahead": {"optimizer": gs.Nesterov(lr=0.05)},
    "dropout": {"dropout": 0.3},
    "formula": {"activation": gs.GELU},
    "stored slope": {"activation": gs.Softplus},
}


def trained(backend: str, batch: int, rows: int, dtype: str = "float64", **options: Any) -> gs.Trainer:
    """Two epochs on made-up rows."""
    hidden = [options.pop("activation", gs.ReLU)()]
    if "dropout" in options:
        hidden.append(gs.Dropout(options.pop("dropout")))
    layers = [gs.Linear(*WIDTHS[:2]), *hidden, gs.Linear(*WIDTHS[1:3]), *hidden, gs.Linear(*WIDTHS[2:])]
    model = gs.Sequential(*layers, dtype=dtype)
    random = np.random.default_rng(0)
    data = gs.Dataset(random.normal(size=(rows, WIDTHS[0])), random.integers(0, 4, rows))
    optimizer = options.pop("optimizer", None) or gs.Adam(lr=1e-2)
    run = gs.Trainer(model, gs.CrossEntropyLoss(), optimizer, backend=backend, seed=1, **options)
    run.fit(data, epochs=2, batch_size=batch, verbose=False)
    return run


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets in how many parts batches are divided; returns the plans."""

    def set_(parts: int, threads: int = 2) -> list[DensePlan]:
        made, pool = list[DensePlan](), ThreadPool(threads)

        def noted(*arguments: Any) -> DensePlan:
            made.append(DensePlan(*arguments))
            return made[-1]

        monkeypatch.setattr(plans, "thread_pool", lambda: pool)
        monkeypatch.setattr(plans, "chosen", lambda *_: Choice(parts, VECTORS, ROWS))
        monkeypatch.setattr(plans, "DensePlan", noted)
        return made

    return set_


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(
    ("batch", "rows", "parts"),
    [(300, 1000, 2), (4 * BLOCK + 30, 5 * BLOCK, 3), (9, 20, 2), (40, 43, 2), (8, 16, 2)],
    ids=["last batch", "blocks", "few rows", "a part without rows", "one part has all rows"],
)
def test_it_trains_as_the_operations_do(
    divided: Any, batch: int, rows: int, parts: int, options: dict[str, Any]
) -> None:
    made = divided(parts)
    run, listed = (trained(backend, batch, rows, **options) for backend in ("numba", "numpy"))
    assert made and all(plan.by_rows for plan in made)
    for name, value in listed.model.state_dict().items():
        np.testing.assert_allclose(run.model.state_dict()[name], value, rtol=1e-9, atol=1e-11, err_msg=name)
    assert run.history[-1]["loss"] == pytest.approx(listed.history[-1]["loss"], rel=1e-11)


def test_the_threads_do_not_change_the_bits(divided: Any) -> None:
    found = []
    for threads in (1, 2, 3):
        divided(3, threads)
        found.append(trained("numba", 300, 700, "float32", dropout=0.2, clip_norm=1.0).model.state_dict())
    for name, value in found[0].items():
        assert (found[1][name] == value).all() and (found[2][name] == value).all(), name


def test_a_loss_that_is_not_finite_stops_all_parts_before_the_update(divided: Any) -> None:
    """Wherever its row is; the weights are those of the step before, and the layer is named."""
    divided(2)
    random = np.random.default_rng(0)
    data = gs.Dataset(random.normal(size=(300, 6)), random.integers(0, 3, 300))
    found = []
    for backend in ("numba", "numpy"):
        model = gs.Sequential(gs.Linear(6, 5), gs.ReLU(), gs.Linear(5, 3), dtype="float64")
        run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=1e200), backend=backend, seed=1)
        with pytest.raises(gs.NonFiniteLoss) as raised:
            run.fit(data, epochs=9, batch_size=100, verbose=False)
        found.append((run.step, str(raised.value), model.state_dict()))
    assert found[0][:2] == found[1][:2]
    for name, value in found[1][2].items():
        np.testing.assert_allclose(found[0][2][name], value, rtol=1e-9, err_msg=name)


def test_nothing_is_written_between_the_buffers(divided: Any) -> None:
    """Guard zones around every buffer of each part's workspace."""
    made = divided(3)
    run = trained("numba", 600, 700, "float32", activation=gs.SiLU)
    plan = made[0]
    mlp = recognize(plan.graph)
    assert mlp is not None
    layout = Layout(mlp.layers, plan.arena, plan.block, 1, several=True, gap=256)
    tables, formula = layout.of_parts(3), LayerPlaces._fields.index("formula")
    tables[..., formula] = plan._tables[..., formula]
    work = np.full(3 * layout.size, 7, np.float32)
    plan._tables = plan._layers = tables
    plan._memory = plan._memory._replace(work=work)
    inside = np.zeros((3, layout.size), bool)
    for start, stop in layout.places:
        inside[:, start:stop] = True
    for batch in (600, 100, 17, 3):
        run.state.begin_epoch()
        run.state.prepare(1)
        plan.run(batch, 1)
    assert (work[~inside.reshape(-1)] == 7).all() and (work[inside.reshape(-1)] != 7).any()


def test_a_trial_changes_nothing(divided: Any) -> None:
    made = divided(2)
    run = trained("numba", 300, 700, ema=0.9, clip_norm=1.0)
    kept = [run.state.arena.values, *run.state.slots.values(), run.state.counters, run.state.totals]
    before = [array.copy() for array in kept]
    assert made[0].trial(1) > 0 and made[0].trial(1000) > 0
    for array, was in zip(kept, before, strict=True):
        assert (array == was).all()


def test_it_is_tried_for_large_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few weights, and only with several threads."""
    tried = list[list[Choice]]()
    monkeypatch.setattr(plans, "chosen", lambda backend, name, found, *_: tried.append(found) or found[0])
    data = gs.Dataset(np.zeros((200, 128)), np.zeros(200, np.int64))
    for threads, width, batch in ((1, 64, 64), (2, 64, 63), (2, 64, 64), (2, 65, 64), (2, 65, 65)):
        pool = ThreadPool(threads)
        monkeypatch.setattr(plans, "thread_pool", lambda pool=pool: pool)
        run = gs.Trainer(gs.Sequential(gs.Linear(128, width)), gs.CrossEntropyLoss(), gs.Adam(), backend="numba")
        assert Loop(run, data, None, batch).plan.kind == "compiled"
    assert [any(one.divided == ROWS for one in found) for found in tried] == [False, False, True, False, True]


def test_costs_and_products(divided: Any) -> None:
    """Two waits a step, whatever the batch; products run on every part at once."""
    made = divided(2)
    trained("numba", 300, 700)
    plan = made[0]
    assert plan.waits(300) == plan.waits(30) == 2
    products = plan.products(300)
    assert [product.flops for product in products] == [
        2 * 2 * plan.block * inputs * outputs for inputs, outputs in pairwise(WIDTHS)
    ]
    for product in products:
        product.run(2)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 100, 257])
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_max_share(count: int, threads: int) -> None:
    shares = [share(count, thread, threads, 8) for thread in range(threads)]
    assert shares[0][0] == 0 and shares[-1][1] == count
    assert max_share(count, threads, 8) == max(stop - start for start, stop in shares)
