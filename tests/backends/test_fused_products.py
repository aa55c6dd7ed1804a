"""Products with what stands beside them in one launch: by cuBLASLt's epilogues on its stand-in, or by their parts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import fake_cublaslt
import ml_dtypes
import numpy as np
import pytest
from cuda_on_cpu import unavailable
from device_array import DeviceArray
from fake_cupy import CudaOnCpu, stand_ins
from hypothesis import given, settings
from hypothesis import strategies as st

import gearshift as gs
from gearshift.dl.training.loop import Loop
from gearshift.kernels.activations.activation import IDENTITY, RELU
from gearshift.kernels.arrays.fused_products import (
    GELU,
    PRODUCT_BIAS,
    PRODUCT_BIAS_GRADIENT,
    PRODUCT_RELU_BACKWARD,
    mask_bytes,
)
from gearshift.kernels.launch import column_tiles, parts

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())

BOUND = {"float32": 1e-5, "float64": 1e-12, "bfloat16": 2.0**-7}
PLAIN = {"transpose_a": 0, "transpose_b": 0}


class Apart(CudaOnCpu):
    """The same with every operation launched for itself."""

    name = "apart-on-cpu"
    joins = False  # pyright: ignore


class OnHost(CudaOnCpu):
    """Takes arrays of the host for its own."""

    def bind(self, operation: Any, arrays: Any, attributes: Any) -> Any:
        return super().bind(operation, [array.view(DeviceArray) for array in arrays], attributes)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with stand_ins(CudaOnCpu, Apart):
        yield


def backend(fused: bool) -> Any:
    """One that finds epilogues faster than separate launches, or slower."""
    found: Any = OnHost()
    if not fused:
        times = count(1000, -1)
        found.products.seconds = lambda work: (work(), next(times))[1]
    return found


def drawn(m: int, k: int, n: int, dtype: Any) -> tuple[Any, Any, Any, Any]:
    random = np.random.default_rng(m * n + k)
    a, b, bias = (random.standard_normal(shape).astype(dtype) for shape in ((m, k), (k, n), (n,)))
    return a, b, bias, np.full((m, n), 77, dtype=dtype)


def off(found: np.ndarray, want: np.ndarray, terms: Any) -> float:
    return float(np.max(np.abs(found.astype(np.float64) - want) / terms, initial=0))


SIZES = st.tuples(st.integers(1, 40), st.integers(1, 20), st.integers(1, 140))
REALS = st.sampled_from([np.float32, np.float64])
TYPES = st.sampled_from([np.float32, np.float64, ml_dtypes.bfloat16])


@pytest.mark.parametrize("activation", [IDENTITY, RELU, GELU])
@settings(max_examples=25, deadline=None)
@given(sizes=SIZES, dtype=TYPES, fused=st.booleans())
def test_forward_is_the_product_with_bias_and_activation(
    activation: int, sizes: tuple[int, int, int], dtype: Any, fused: bool
) -> None:
    a, b, bias, y = drawn(*sizes, dtype)
    device = backend(fused)
    device.bind(PRODUCT_BIAS, [a, b, bias, y], {**PLAIN, "activation": activation})()
    assert (device.lt.epilogues[-1] == {IDENTITY: "BIAS", RELU: "RELU_BIAS", GELU: "GELU_BIAS"}[activation]) is fused
    wide = [array.astype(np.float64) for array in (a, b, bias)]
    z = wide[0] @ wide[1] + wide[2]
    gelu = z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))) / 2
    want = {IDENTITY: z, RELU: np.maximum(z, 0), GELU: gelu}[activation]
    terms = np.abs(wide[0]) @ np.abs(wide[1]) + np.abs(wide[2])
    assert off(y, want, terms * (3 if activation == GELU else 1)) <= BOUND[np.dtype(dtype).name]


@settings(max_examples=25, deadline=None)
@given(sizes=SIZES, dtype=REALS, fused=st.booleans())
def test_backward_goes_by_the_mask_that_forward_has_left(sizes: tuple[int, int, int], dtype: Any, fused: bool) -> None:
    m, k, n = sizes
    a, b, bias, y = drawn(m, k, n, dtype)
    mask = np.zeros((m, mask_bytes(n)), dtype=np.uint8)
    device = backend(fused)
    device.bind(PRODUCT_BIAS, [a, b, bias, y, mask], {**PLAIN, "activation": RELU})()
    random = np.random.default_rng(n)
    dout, w = random.standard_normal((m, 7)).astype(dtype), random.standard_normal((n, 7)).astype(dtype)
    dz, dbias = np.full((m, n), 77, dtype=dtype), np.full(n, 77, dtype=dtype)
    arrays = [dout, w, y, mask, dz, dbias, np.zeros((parts(n), n), dtype=dtype), np.zeros(column_tiles(n), np.uint32)]
    device.bind(PRODUCT_RELU_BACKWARD, arrays, {"transpose_a": 0, "transpose_b": 1})()
    assert ("DRELU_BGRAD" in device.lt.epilogues) is fused
    want = np.where(y > 0, dout.astype(np.float64) @ w.T.astype(np.float64), 0)
    terms = np.abs(dout).astype(np.float64) @ np.abs(w).T
    assert off(dz, want, terms) <= BOUND[np.dtype(dtype).name]
    assert off(dbias, want.sum(axis=0), terms.sum(axis=0)) <= BOUND[np.dtype(dtype).name]


@settings(max_examples=25, deadline=None)
@given(sizes=SIZES, dtype=TYPES, fused=st.booleans())
def test_the_bias_gradient_comes_with_the_weights(sizes: tuple[int, int, int], dtype: Any, fused: bool) -> None:
    m, k, n = sizes
    random = np.random.default_rng(m + k * n)
    a, dz = random.standard_normal((m, k)).astype(dtype), random.standard_normal((m, n)).astype(dtype)
    real = np.float64 if dtype is np.float64 else np.float32  # gradients of parameters
    dw, dbias = np.full((k, n), 77, dtype=real), np.full(n, 77, dtype=real)
    arrays = [a, dz, dw, dbias, np.zeros((parts(n), n), dtype=real), np.zeros(column_tiles(n), np.uint32)]
    device = backend(fused)
    device.bind(PRODUCT_BIAS_GRADIENT, arrays, {"transpose_a": 1, "transpose_b": 0})()
    assert ("BGRADA" in device.lt.epilogues[-1:]) is fused
    wide, gradient = a.astype(np.float64), dz.astype(np.float64)
    assert off(dw, wide.T @ gradient, np.abs(wide).T @ np.abs(gradient)) <= BOUND[np.dtype(real).name]
    assert off(dbias, gradient.sum(axis=0), np.abs(gradient).sum(axis=0)) <= BOUND[np.dtype(real).name]


def test_a_mask_that_was_not_written_is_not_read() -> None:
    a, b, bias, y = drawn(5, 6, 7, np.float32)
    mask = np.zeros((5, mask_bytes(7)), dtype=np.uint8)
    device = backend(True)
    device.lt.refused = {"RELU_AUX_BIAS"}
    forward = device.bind(PRODUCT_BIAS, [a, b, bias, y, mask], {**PLAIN, "activation": RELU})
    forward()
    dz, scratch = np.empty_like(y), [np.zeros((parts(7), 7), np.float32), np.zeros(1, np.uint32)]
    arrays = [y, np.eye(7, dtype=np.float32), y, mask, dz, np.empty(7, np.float32), *scratch]
    device.bind(PRODUCT_RELU_BACKWARD, arrays, {"transpose_a": 0, "transpose_b": 1})()
    assert "DRELU_BGRAD" not in device.lt.epilogues and np.array_equal(dz, y)


@pytest.mark.parametrize(("status", "level"), [(15, logging.INFO), (7, logging.WARNING)])
def test_an_epilogue_that_is_not_there_is_noted_and_done_without(
    status: int, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    a, b, bias, y = drawn(5, 6, 7, np.float32)
    device = backend(True)
    device.lt.refused, device.lt.status = {"RELU_BIAS"}, status
    with caplog.at_level(logging.INFO, "gearshift"):
        device.bind(PRODUCT_BIAS, [a, b, bias, y], {**PLAIN, "activation": RELU})()
    (record,) = caplog.records
    assert record.levelno == level and "RELU_BIAS" in record.getMessage() and f"status {status}" in record.getMessage()
    assert np.allclose(y, np.maximum(a @ b + bias, 0), atol=1e-5)


def test_mistakes_are_not_taken_for_a_missing_epilogue() -> None:
    a, b, bias, y = drawn(5, 6, 7, np.float32)
    device = backend(True)
    device.lt.refused, device.lt.status = {"RELU_BIAS"}, 14
    with pytest.raises(fake_cublaslt.cuBLASLtError, match="status 14"):
        device.bind(PRODUCT_BIAS, [a, b, bias, y], {**PLAIN, "activation": RELU})

    def mistaken(*arguments: Any) -> None:
        raise TypeError("a wrong argument")

    device.lt.refused, device.lt.matmul = set(), mistaken
    with pytest.raises(TypeError, match="a wrong argument"):
        device.bind(PRODUCT_BIAS, [a, b, bias, y], {**PLAIN, "activation": RELU})


def test_choices_between_one_launch_and_several_are_kept_and_replayed(tmp_path: Path) -> None:
    for fused in (True, False):
        file, first = tmp_path / f"{fused}.json", backend(fused)
        first.products.choices.file = file
        a, b, bias, y = drawn(4, 5, 6, np.float32)
        attributes = {**PLAIN, "activation": RELU}
        first.bind(PRODUCT_BIAS, [a, b, bias, y], attributes)
        ((key, words),) = ((key, words) for key, words in first.choices.items() if "RELU_BIAS" in key)
        assert bool(words) is fused and first.products.measured[f"{key} in separate launches"]
        again = OnHost(file=file)
        again.bind(PRODUCT_BIAS, [a, b, bias, y], attributes)()
        assert again.products is not None and again.products.measured == {} and again.choices == first.choices
        assert (again.lt.epilogues[-1] == "RELU_BIAS") is fused


def trainer(where: str, dtype: str = "float64", precision: str | None = None) -> gs.Trainer:
    layers = [gs.Standardize(6), gs.Linear(6, 10), gs.ReLU(), gs.Linear(10, 9), gs.ReLU(), gs.Linear(9, 8), gs.GELU()]
    model = gs.Sequential(*layers, gs.Linear(8, 7), gs.Tanh(), gs.Linear(7, 3, bias=False), dtype=dtype)
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend=where, precision=precision)


def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.standard_normal((100, 6)), random.integers(0, 3, 100)


STEP = [
    "gather_standardized_pair",
    "product RELU_AUX_BIAS",
    "product RELU_AUX_BIAS",
    "product BIAS",
    "gelu",
    "product",
    "bias_activation",
    "product",
    "softmax_cross_entropy",
    "accumulate_metrics",
    "product",
    "product",
    "bias_activation_backward",
    "product",
    "product",
    "gelu_backward",
    "product BGRADA",
    "product DRELU_BGRAD",
    "product",
    "product DRELU_BGRAD",
    "product",
    "adam",
    "advance",
]


def test_a_network_is_joined_where_it_can_be_and_learns_the_same() -> None:
    together, apart = trainer(CudaOnCpu.name), trainer(Apart.name)
    for run in (together, apart):
        run.fit(data(), validation=data(), epochs=3, batch_size=16, verbose=False)
    for ours, theirs in zip(together.history.records, apart.history.records, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-12)
        assert ours["validation_loss"] == pytest.approx(theirs["validation_loss"], rel=1e-12)
    assert np.allclose(together.predict_proba(data()[0]), apart.predict_proba(data()[0]), rtol=0, atol=1e-12)
    epilogues = together.backend.lt.epilogues  # pyright: ignore[reportAttributeAccessIssue]
    assert "GELU_BIAS" in epilogues, "where nothing goes back"
    assert "DRELU_BGRAD" in epilogues


def test_the_launches_of_its_step_are_as_listed() -> None:
    loop = Loop(trainer(CudaOnCpu.name), gs.Dataset(*data()), None, 16)
    device: Any = loop.trainer.backend
    loop.state.prepare(1)
    steps = loop.plan.steps(16)
    device.device.launched.clear()
    steps.run(1)
    assert [name for name, _, _ in device.device.launched] == STEP


def test_in_bfloat16_gradients_of_hidden_biases_stay_float32() -> None:
    loop = Loop(trainer(CudaOnCpu.name, "float32", "bfloat16"), gs.Dataset(*data()), None, 16)
    names = [call.node.operation.name for call in loop.plan.bind(16)]
    assert "product_relu_backward" not in names and "product_bias" in names and "product_bias_gradient" in names
