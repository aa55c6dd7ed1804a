"""Captured steps: the same bits as launched call by call, few launches, and a fall back that says why."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import unavailable
from device_array import DeviceArray
from fake_cupy import CudaOnCpu, Device, Stream, stand_ins

import gearshift as gs
from gearshift import backends
from gearshift.dl.step import plan as plans
from gearshift.dl.step.capture import TOGETHER, WARM_UP
from gearshift.dl.training import loop as loops
from gearshift.dl.training.loop import Loop
from gearshift.kernels.operation import Operation

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())

ROWS, BATCH = 41 * 8 + 3, 8  # 41 whole batches and a rest


class Eager(CudaOnCpu):
    """The same without captures."""

    name = "eager-on-cpu"
    captures = False


class WithoutProducts(CudaOnCpu):
    """The same where nvmath-python is not installed."""

    name = "without-products"

    def __init__(self) -> None:
        super().__init__(products=False)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with stand_ins(CudaOnCpu, Eager, WithoutProducts):
        yield


def trainer(backend: str, **given: Any) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(6, 10), gs.ReLU(), gs.Dropout(0.1), gs.Linear(10, 3))
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend=backend, **given)


def data(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.standard_normal((rows, 6)).astype(np.float32), random.integers(0, 3, rows)


def fit(backend: str, epochs: int = 3, **given: Any) -> gs.Trainer:
    run = trainer(backend, **given)
    run.fit(data(), validation=data(50), epochs=epochs, batch_size=BATCH, verbose=False)
    return run


def bits(run: gs.Trainer) -> tuple[Any, ...]:
    weights = {name: value.tobytes() for name, value in run.model.state_dict().items()}
    measures = [{k: v for k, v in r.items() if not k.startswith(("seconds", "samples"))} for r in run.history.records]
    return weights, measures


def test_captured_steps_give_the_same_bits_as_launched_ones() -> None:
    captured, eager = fit(CudaOnCpu.name), fit(Eager.name)
    assert captured.backend.device.graphs > 0  # pyright: ignore[reportAttributeAccessIssue]
    assert eager.backend.device.graphs == 0  # pyright: ignore[reportAttributeAccessIssue]
    assert bits(captured) == bits(eager)


def test_steps_of_a_transformer_are_captured_and_give_the_same_bits() -> None:
    """Products of stacks of matrices, too, are planned ahead."""
    runs, x = [], np.random.default_rng(0).integers(0, 5, (30, 4))
    for backend in (CudaOnCpu.name, Eager.name):
        model = gs.Sequential(gs.Embedding(5, 4, length=4), gs.TransformerBlock(4, 2), gs.Linear(4, 5))
        run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend=backend)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run.fit(x, (x + 1) % 5, epochs=3, batch_size=8, verbose=False)
        runs.append(run)
    assert runs[0].backend.device.graphs > 0  # pyright: ignore[reportAttributeAccessIssue]
    assert bits(runs[0]) == bits(runs[1])


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
    for backend in (CudaOnCpu.name, Eager.name):
        run = gs.Trainer(CAPTURED[kind](), gs.MSELoss(), gs.Adam(lr=0.01), backend=backend)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run.fit(rows, x / 5.0, epochs=2, batch_size=8, verbose=False)
        runs.append(run)
    assert runs[0].backend.device.graphs > 0  # pyright: ignore[reportAttributeAccessIssue]
    assert bits(runs[0]) == bits(runs[1])


def test_an_epoch_is_a_few_launches() -> None:
    run = trainer(CudaOnCpu.name)
    loop = Loop(run, gs.Dataset(*data()), None, BATCH)
    run.epochs = 2
    loop.run([])
    device: Any = run.backend
    device.device.graphs = 0
    run.epochs = 3
    loop.run([])
    whole = ROWS // BATCH
    rest = 1  # the third time that this batch size runs: the first two were its warm-up
    assert device.device.graphs == whole // TOGETHER + whole % TOGETHER + rest


@pytest.mark.parametrize("tick", [1e9, 0.0], ids=["an epoch without ticks", "a tick after every launch"])
def test_the_host_looks_at_ticks_and_three_times_at_the_end_of_an_epoch(
    tick: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the third epoch on only the kernel of the order's words is launched beside the graphs."""
    for module in loops, plans:
        monkeypatch.setattr(module, "TICK", tick)
    run = trainer(CudaOnCpu.name)
    loop = Loop(run, gs.Dataset(*data()), gs.Dataset(*data(50)), BATCH)
    run.epochs = 3
    loop.run([])
    device: Any = run.backend.device  # pyright: ignore[reportAttributeAccessIssue]
    device.graphs, device.alone, looks = 0, 0, DeviceArray.looks
    run.epochs = 4
    loop.run([])
    whole = ROWS // BATCH
    launches = whole // TOGETHER + whole % TOGETHER  # and one for the rest, and one for the validation
    assert (device.graphs, device.alone) == (launches + 2, 1)
    ticks = 0 if tick else launches  # all but the last launch, the rest, is followed by one
    assert DeviceArray.looks - looks == ticks + 3  # whether a step failed, the totals, the validation's


def test_the_first_steps_are_launched_call_by_call() -> None:
    loop = Loop(trainer(CudaOnCpu.name), gs.Dataset(*data()), None, BATCH)
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


def test_the_launches_of_a_step_are_as_listed() -> None:
    loop = Loop(trainer(CudaOnCpu.name), gs.Dataset(*data()), None, BATCH)
    device: Any = loop.trainer.backend
    loop.state.prepare(1)
    loop.stepper.begin_epoch(0)
    steps = loop.plan.steps(BATCH)
    for expected in ([1] * WARM_UP, [TOGETHER]):
        for count in expected:
            device.device.launched.clear()
            assert steps.run(40) == count
            assert [name for name, _, _ in device.device.launched] == STEP * count
    grids = {name: (grid, block) for name, grid, block in device.device.launched}
    assert grids["adam"] == ((1, 1, 1), (256, 1, 1))
    assert grids["gather_pair"] == ((1, 1, 1), (8, 32, 1))
    assert grids["bias_activation_backward"] == ((1, 1, 1), (32, 8, 1))


def test_clipping_adds_two_launches_and_no_look() -> None:
    loop = Loop(trainer(CudaOnCpu.name, clip_norm=1.0), gs.Dataset(*data()), None, BATCH)
    names = [call.node.operation.name for call in loop.plan.bind(BATCH)]
    assert names[-4:] == ["gradient_squares", "clip_factor", "adam", "advance"]
    steps = loop.plan.steps(BATCH)
    loop.state.prepare(1)
    looks = DeviceArray.looks
    for _ in range(WARM_UP + 1):
        steps.run(1)
    assert steps.captured and DeviceArray.looks == looks


def test_without_planned_products_steps_are_launched_and_the_reason_is_said() -> None:
    with pytest.warns(UserWarning, match="call by call, not as a graph: products use cupy.matmul"):
        run = fit(WithoutProducts.name)
    assert run.backend.device.graphs == 0  # pyright: ignore[reportAttributeAccessIssue]
    assert run.history.records[-1]["loss"] == pytest.approx(fit(Eager.name).history.records[-1]["loss"], rel=1e-5)


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
    for backend in CudaOnCpu.name, "numpy":
        run = gs.Trainer(gs.Sequential(Sine(), gs.Linear(6, 3)), gs.CrossEntropyLoss(), gs.Adam(), backend=backend)
        runs.append(run)
    with pytest.warns(UserWarning, match="not as a graph: operation 'sine' has no CUDA kernel"):
        runs[0].fit(data(), epochs=2, batch_size=BATCH, verbose=False)
    runs[1].fit(data(), epochs=2, batch_size=BATCH, verbose=False)
    assert runs[0].backend.device.graphs == 0  # pyright: ignore[reportAttributeAccessIssue]
    assert runs[0].history.records[-1]["loss"] == pytest.approx(runs[1].history.records[-1]["loss"], rel=1e-5)


@pytest.mark.parametrize("moment", ["begin_capture", "end_capture", "a launch", "the second graph"])
def test_a_capture_that_fails_changes_nothing(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    eager = bits(fit(Eager.name))
    begin, end, launch, begun = Stream.begin_capture, Stream.end_capture, Device.launch, []

    def begins(self: Stream) -> None:
        begun.append(self)
        if moment == "begin_capture" or (moment == "the second graph" and len(begun) % 2 == 0):
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        begin(self)

    def ends(self: Stream) -> Any:
        graph = end(self)
        if moment == "end_capture":
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        return graph

    def launches(self: Device, stream: Stream, *given: Any) -> None:
        if moment == "a launch" and stream.noted:
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        launch(self, stream, *given)

    monkeypatch.setattr(Stream, "begin_capture", begins)
    monkeypatch.setattr(Stream, "end_capture", ends)
    monkeypatch.setattr(Device, "launch", launches)
    with pytest.warns(UserWarning, match="cudaErrorStreamCaptureInvalidated"):
        run = fit(CudaOnCpu.name)
    assert run.backend.device.graphs == 0  # pyright: ignore[reportAttributeAccessIssue]
    assert bits(run) == eager


def test_backends_of_the_cpu_capture_nothing_and_are_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit("numpy", epochs=1)
    assert not backends.get("numpy").captures
    with pytest.raises(NotImplementedError, match="'numpy' does not support capture"):
        backends.get("numpy").capture(lambda: None)


def test_a_failed_step_is_found_in_a_graph_of_many() -> None:
    run = trainer(CudaOnCpu.name)
    x, y = data()
    x[200] = 3e38  # the sums of the first layer overflow
    with pytest.raises(gs.NonFiniteLoss, match=r"begins in layer '0'"):
        run.fit((x, y), epochs=2, batch_size=BATCH, verbose=False)
