"""Captured steps: the same bits as launched call by call, few launches, and a fall back that says why."""

from __future__ import annotations

import importlib
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gpu import Eager, launches, planned
from registering import registered

import gearshift as gs
from gearshift import backends
from gearshift.backends.cupy import CuPyBackend
from gearshift.dl.step import plan as plans
from gearshift.dl.step.capture import TOGETHER, WARM_UP
from gearshift.dl.training import loop as loops
from gearshift.dl.training.loop import Loop
from gearshift.kernels.operation import Operation

ROWS, BATCH = 41 * 8 + 3, 8  # 41 whole batches and a rest


@pytest.fixture(autouse=True)
def variants() -> Iterator[None]:
    with registered(Eager):
        yield


def trainer(backend: str = "cupy", **given: Any) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(6, 10), gs.ReLU(), gs.Dropout(0.1), gs.Linear(10, 3))
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend=backend, **given)


def data(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.standard_normal((rows, 6)).astype(np.float32), random.integers(0, 3, rows)


def fit(backend: str = "cupy", epochs: int = 3, **given: Any) -> gs.Trainer:
    run = trainer(backend, **given)
    run.fit(data(), validation=data(50), epochs=epochs, batch_size=BATCH, verbose=False)
    return run


def bits(run: gs.Trainer) -> tuple[Any, ...]:
    weights = {name: value.tobytes() for name, value in run.model.state_dict().items()}
    measures = [{k: v for k, v in r.items() if not k.startswith(("seconds", "samples"))} for r in run.history.records]
    return weights, measures


def encoder(kind: str, **given: Any) -> gs.Layer:
    return gs.autoencoder(6, 2, [5], kind=kind, **given)  # pyright: ignore[reportArgumentType]


CAPTURED: dict[str, Any] = {
    "sparse": lambda: encoder("sparse", penalty="l1"),
    "sparse, by rate": lambda: encoder("sparse", penalty="kl"),
    "denoising": lambda: encoder("denoising", noise="gaussian"),
    "denoising, masked": lambda: encoder("denoising", noise="masking"),
    "contractive": lambda: encoder("contractive", activation="tanh"),
    "variational": lambda: encoder("variational"),
    "sequences with padding": lambda: gs.Sequential(
        gs.Embedding(5, 4, length=6, padding=0), gs.TransformerBlock(4, 2), gs.MeanPooling(), gs.Linear(4, 6)
    ),
    "sequences": lambda: gs.Sequential(gs.Embedding(5, 4), gs.MaxPooling(), gs.Linear(4, 6)),
}


@pytest.mark.parametrize("kind", CAPTURED)
def test_steps_of_each_kind_of_model_are_captured_and_give_the_same_bits(kind: str) -> None:
    runs, x = [], np.random.default_rng(0).integers(0, 5, (30, 6))
    rows = x if kind.startswith("seq") else x / 5.0
    for backend, captured in (("cupy", True), (Eager.name, False)):
        run = gs.Trainer(CAPTURED[kind](), gs.MSELoss(), gs.Adam(lr=0.01), backend=backend)
        with warnings.catch_warnings(), launches() as found:
            warnings.simplefilter("error")
            run.fit(rows, x / 5.0, epochs=2, batch_size=8, verbose=False)
        assert (found["graphs"] > 0) == captured
        runs.append(run)
    assert bits(runs[0]) == bits(runs[1])


def test_an_epoch_is_a_few_launches() -> None:
    run = trainer()
    loop = Loop(run, gs.Dataset(*data()), None, BATCH)
    run.epochs = 2
    loop.run([])
    run.epochs = 3
    with launches() as found:
        loop.run([])
    whole = ROWS // BATCH
    rest = 1  # the third time that this batch size runs: the first two were its warm-up
    assert found["graphs"] == whole // TOGETHER + whole % TOGETHER + rest


@pytest.mark.parametrize("tick", [1e9, 0.0], ids=["an epoch without ticks", "a tick after every launch"])
def test_the_host_looks_at_ticks_and_three_times_at_the_end_of_an_epoch(
    tick: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the third epoch on, only what draws the order is launched beside the graphs."""
    for module in loops, plans:
        monkeypatch.setattr(module, "TICK", tick)
    run = trainer()
    loop = Loop(run, gs.Dataset(*data()), gs.Dataset(*data(50)), BATCH)
    run.epochs = 3
    loop.run([])
    run.epochs = 4
    with launches() as found:
        loop.run([])
    whole = ROWS // BATCH
    graphs = whole // TOGETHER + whole % TOGETHER  # and one for the rest, and one for the validation
    assert found["graphs"] == graphs + 2 and found["row_words"] == 1
    ticks = 0 if tick else graphs  # all but the last launch, the rest, is followed by one
    order = 2  # of CuPy's sort
    assert found["cudaStreamSynchronize"] == ticks + 3 + order  # whether a step failed, the totals, the validation's


def test_the_first_steps_are_launched_call_by_call() -> None:
    loop = Loop(trainer(), gs.Dataset(*data()), None, BATCH)
    steps = loop.plan.steps(BATCH)
    loop.state.prepare(1)
    loop.stepper.begin_epoch(0)
    for _ in range(WARM_UP):
        assert steps.run(40) == 1
        assert not steps.captured
    assert steps.run(40) == TOGETHER and steps.captured
    assert steps.run(TOGETHER - 1) == 1
    assert int(loop.state.counters[0]) == WARM_UP + TOGETHER + 1


STEP = [
    "gather_pair",
    "product RELU_BIAS",
    "dropout",
    "product BIAS",
    "softmax_cross_entropy",
    "accumulate_metrics",
    "product BGRADA",
    "product",
    "dropout",
    "bias_activation_backward",
    "product",
    "adam",
    "advance",
]
"""The launches of a step, where epilogues are faster."""


def test_the_launches_of_a_step_are_as_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends.get("cupy"), "products", planned().products)
    loop = Loop(trainer(), gs.Dataset(*data()), None, BATCH)
    loop.state.prepare(1)
    loop.stepper.begin_epoch(0)
    steps = loop.plan.steps(BATCH)
    for _ in range(WARM_UP):
        with launches() as found:
            assert steps.run(40) == 1
        assert {name: number for name, number in found.items() if name in {*STEP}} == Counter(STEP)
        assert found["cuLaunchKernel"] == sum(not name.startswith("product") for name in STEP)
    with launches() as found:
        assert steps.run(40) == TOGETHER
    assert found["graphs"] == 1 and found["replayed"] == TOGETHER * len(STEP)


def test_clipping_adds_two_launches_and_no_look() -> None:
    loop = Loop(trainer(clip_norm=1.0), gs.Dataset(*data()), None, BATCH)
    names = [call.node.operation.name for call in loop.plan.bind(BATCH)]
    assert names[-4:] == ["gradient_squares", "clip_factor", "adam", "advance"]
    steps = loop.plan.steps(BATCH)
    loop.state.prepare(1)
    with launches() as found:
        for _ in range(WARM_UP + 1):
            steps.run(1)
    assert steps.captured and not found["cudaStreamSynchronize"]


def sine(xp: Any, x: Any, y: Any) -> None:
    """y = sin x."""
    y[...] = xp.sin(x)


class Sine(gs.Layer):
    """A layer of a user's own, in array code alone."""

    def lower(self, graph: Any, x: Any) -> Any:
        y = graph.batch(x.shape)
        graph.apply(Operation("sine", sine), (x,), (y,))
        return y


def test_an_operation_without_cuda_is_launched_call_by_call_and_named() -> None:
    runs = []
    for backend in "cupy", "numpy":
        run = gs.Trainer(gs.Sequential(Sine(), gs.Linear(6, 3)), gs.CrossEntropyLoss(), gs.Adam(), backend=backend)
        runs.append(run)
    with pytest.warns(UserWarning, match="not as a graph: operation 'sine' has no CUDA kernel"), launches() as found:
        runs[0].fit(data(), epochs=2, batch_size=BATCH, verbose=False)
    runs[1].fit(data(), epochs=2, batch_size=BATCH, verbose=False)
    assert not found["graphs"]
    assert runs[0].history.records[-1]["loss"] == pytest.approx(runs[1].history.records[-1]["loss"], rel=1e-5)


@pytest.mark.parametrize("moment", ["begin_capture", "end_capture", "the second graph"])
def test_a_capture_that_fails_changes_nothing(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    eager = bits(fit(Eager.name))
    stream = importlib.import_module("cupy").cuda.Stream
    begin, end, begun = stream.begin_capture, stream.end_capture, []

    def begins(self: Any, *given: Any) -> None:
        begun.append(self)
        if moment == "begin_capture" or (moment == "the second graph" and len(begun) % 2 == 0):
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        begin(self, *given)

    def ends(self: Any) -> Any:
        graph = end(self)
        if moment == "end_capture":
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        return graph

    monkeypatch.setattr(stream, "begin_capture", begins)
    monkeypatch.setattr(stream, "end_capture", ends)
    with pytest.warns(UserWarning, match="cudaErrorStreamCaptureInvalidated"), launches() as found:
        run = fit()
    assert not found["graphs"] and bits(run) == eager
    assert isinstance(run.backend, CuPyBackend)
