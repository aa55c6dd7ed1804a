"""Dropout and the activations of a fused MLP, against the operations in float64."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gearshift as gs
from gearshift.backends.philox import DROPOUT, key_of, words
from gearshift.backends.thread_pool import ThreadPool
from gearshift.dl.step.dense_layout import BLOCK
from gearshift.dl.step.dense_plan import DensePlan
from gearshift.dl.training.loop import Loop

RANDOM = np.random.default_rng(0)
ROWS = BLOCK + 90
DATA = gs.Dataset(RANDOM.normal(size=(ROWS, 9)), RANDOM.integers(0, 4, ROWS))
HIDDEN = (gs.ReLU, gs.Tanh, gs.Sigmoid, gs.GELU, gs.Softplus, gs.SiLU, gs.ELU, gs.Hardtanh, None)


def trainer(layers: list[gs.Layer], backend: str, dtype: str = "float64") -> gs.Trainer:
    return gs.Trainer(gs.Sequential(*layers, dtype=dtype), gs.CrossEntropyLoss(), gs.SGD(lr=0.01), backend=backend)


def mlp(widths: tuple[int, ...], hidden: type[gs.Layer] | None, p: float) -> list[gs.Layer]:
    layers: list[gs.Layer] = []
    for shape in pairwise((9, *widths)):
        layers += [gs.Linear(*shape), *([] if hidden is None else [hidden()]), gs.Dropout(p)]
    return [*layers, gs.Linear(widths[-1], 4)]


def agree(layers: list[gs.Layer], batch: int, dtype: str = "float64", epochs: int = 2) -> None:
    """The loop trains as the operations of the NumPy backend do in float64."""
    loop, listed = trainer(deepcopy(layers), "numba", dtype), trainer(deepcopy(layers), "numpy")
    assert isinstance(Loop(loop, DATA, None, batch).plan, DensePlan)
    for run in (loop, listed):
        run.fit(DATA, epochs=epochs, batch_size=batch, verbose=False)
    bound = 1e-10 if dtype == "float64" else 3e-5
    for name, value in listed.model.state_dict().items():
        assert np.abs(loop.model.state_dict()[name] - value).max() < bound * max(np.abs(value).max(), 0.1), name
    np.testing.assert_allclose(loop.history["loss"], listed.history["loss"], rtol=bound)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.sampled_from(HIDDEN),
    st.sampled_from([0.0, 0.1, 0.5, 0.7]),
    st.sampled_from([1, 7, 64, BLOCK, ROWS]),
    st.integers(1, 3),
)
def test_any_shape(widths: list[int], hidden: type[gs.Layer] | None, p: float, batch: int, parts: int) -> None:
    """Rows whose elements do not start at a word of four, several blocks in a batch, parts without inputs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ThreadPool, "parts", lambda *_: parts)
        agree(mlp(tuple(widths), hidden, p), batch, epochs=1)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("batch", [20, ROWS])
def test_float32(hidden: type[gs.Layer] | None, batch: int) -> None:
    agree(mlp((30, 21), hidden, 0.5), batch, "float32", 1)


@pytest.mark.parametrize("last", [gs.GELU, gs.Softplus, gs.SiLU, gs.ReLU, gs.Dropout])
def test_behind_the_last_layer(last: type[gs.Layer]) -> None:
    for batch in (20, ROWS):
        agree([gs.Linear(9, 12), gs.GELU(), gs.Linear(12, 4), last()], batch)


def test_an_evaluation_uses_the_loop_of_the_training() -> None:
    layers = [gs.Linear(9, 12), gs.GELU(), gs.Dropout(0.5), gs.Linear(12, 4)]
    run, listed = trainer(deepcopy(layers), "numba"), trainer(deepcopy(layers), "numpy")
    plan = Loop(run, DATA, None, 20).plan
    evaluator = run.evaluator(DATA, 20)
    assert isinstance(plan, DensePlan) and isinstance(evaluator.plan, DensePlan)
    assert evaluator.plan._steps is plan._steps  # of which one is compiled for all losses and optimizers
    before = run.model.state_dict()["0.weight"].copy()
    assert evaluator() == pytest.approx(listed.evaluator(DATA, 20)(), rel=1e-12)
    assert (run.model.state_dict()["0.weight"] == before).all()


def test_several_kinds_in_one_network() -> None:
    agree(
        [
            *(gs.Linear(9, 24), gs.Softplus(), gs.Linear(24, 13), gs.Dropout(0.3), gs.Linear(13, 13), gs.GELU()),
            *(gs.Dropout(0.7), gs.Linear(13, 8, bias=False), gs.ReLU(), gs.Linear(8, 4)),
        ],
        50,
    )


def test_the_mask_is_that_of_the_random_stream() -> None:
    """With weights that pass the input on and a learning rate of 0, the loss is a function of the mask alone."""
    width, rows, p, seed = 6, 10, 0.5, 7
    model = gs.Sequential(gs.Linear(width, width), gs.Dropout(p), gs.Linear(width, width), dtype="float64")
    names = list(model.state_dict())
    eye, zero = np.eye(width), np.zeros(width)
    model.load_state_dict(dict(zip(names, (eye, zero, eye, zero), strict=True)))
    run = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=1e-300), backend="numba", seed=seed)
    x = np.ones((rows, width))
    run.fit(gs.Dataset(x, np.zeros((rows, width))), epochs=3, batch_size=rows, verbose=False)
    for step, loss in enumerate(run.history["loss"]):
        kept = words(np, key_of(seed), rows * width, DROPOUT, 0, step) >= p * 2**32
        assert loss == pytest.approx(np.mean((kept / (1 - p)) ** 2), rel=1e-12)


@pytest.mark.parametrize("threads", [1, 3])
def test_bits_do_not_depend_on_the_number_of_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for pool in (ThreadPool(2), ThreadPool(threads)):
        monkeypatch.setattr(ThreadPool, "parts", lambda *_: 2)
        monkeypatch.setattr("gearshift.dl.step.plans.thread_pool", lambda pool=pool: pool)
        run = trainer(mlp((41, 30), gs.GELU, 0.5), "numba", "float32")
        run.fit(DATA, epochs=2, batch_size=37, verbose=False)
        found.append([value.tobytes() for value in run.model.state_dict().values()])
    assert found[0] == found[1]


def test_the_same_bits_after_resuming(tmp_path) -> None:
    straight, first, second = (trainer(mlp((20,), gs.Softplus, 0.5), "numba", "float32") for _ in range(3))
    straight.fit(DATA, epochs=3, batch_size=40, verbose=False)
    first.fit(DATA, epochs=1, batch_size=40, verbose=False)
    first.save(tmp_path / "run")
    second.load(tmp_path / "run")
    second.fit(DATA, epochs=2, batch_size=40, verbose=False)
    for name, value in straight.model.state_dict().items():
        assert second.model.state_dict()[name].tobytes() == value.tobytes(), name


def test_what_is_dropped_is_0_whatever_it_was() -> None:
    """An infinite output that dropout removes does not spoil a step, as with the operations."""
    for backend in ("numba", "numpy"):
        model = gs.Sequential(gs.Linear(1, 1), gs.Dropout(0.999999), gs.Linear(1, 1), dtype="float64")
        names = list(model.state_dict())
        values = (np.full((1, 1), 1e308), np.zeros(1), np.ones((1, 1)), np.zeros(1))
        model.load_state_dict(dict(zip(names, values, strict=True)))
        run = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=0.01), backend=backend)
        run.fit(gs.Dataset(np.full((4, 1), 1e10), np.zeros((4, 1))), epochs=1, batch_size=4, verbose=False)
        assert run.history["loss"] == [0.0]
