"""Products with what stands beside them in one launch: by cuBLASLt's epilogues, or by their parts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gpu import Apart, launches, planned
from hypothesis import given, settings
from hypothesis import strategies as st
from registering import registered

import gearshift as gs
from gearshift import backends
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

BOUND = {"float32": 1e-5, "float64": 1e-12, "bfloat16": 2.0**-7}
PLAIN = {"transpose_a": 0, "transpose_b": 0}


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    with registered(Apart):
        yield


backend = cache(lambda fused: planned(fused=fused))


def run(device: Any, operation: Any, arrays: Sequence[np.ndarray], attributes: Mapping[str, int]) -> None:
    """Runs an operation on copies of these arrays on the device, and copies them back."""
    there = [device.asarray(array) for array in arrays]
    device.bind(operation, there, attributes)()
    for array, result in zip(arrays, there, strict=True):
        array[...] = device.to_numpy(result)


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
    run(device, PRODUCT_BIAS, [a, b, bias, y], {**PLAIN, "activation": activation})
    fused = fused and dtype is not np.float64  # for which cuBLASLt has no epilogues
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
    device.lt.epilogues.clear()
    there = [device.asarray(array) for array in (a, b, bias, y, mask)]
    device.bind(PRODUCT_BIAS, there, {**PLAIN, "activation": RELU})()
    y = device.to_numpy(there[3])
    random = np.random.default_rng(n)
    dout, w = random.standard_normal((m, 7)).astype(dtype), random.standard_normal((n, 7)).astype(dtype)
    dz, dbias = np.full((m, n), 77, dtype=dtype), np.full(n, 77, dtype=dtype)
    given = [dout, w, dz, dbias, np.zeros((parts(n), n), dtype=dtype), np.zeros(column_tiles(n), np.uint32)]
    dout_, w_, *others = (device.asarray(array) for array in given)
    arrays = [dout_, w_, there[3], there[4], *others]
    device.bind(PRODUCT_RELU_BACKWARD, arrays, {"transpose_a": 0, "transpose_b": 1})()
    dz, dbias = (device.to_numpy(array) for array in others[:2])
    assert ("DRELU_BGRAD" in device.lt.epilogues) is (fused and dtype is np.float32)
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
    run(device, PRODUCT_BIAS_GRADIENT, arrays, {"transpose_a": 1, "transpose_b": 0})
    assert ("BGRADA" in device.lt.epilogues[-1:]) is (fused and dtype is not np.float64)
    wide, gradient = a.astype(np.float64), dz.astype(np.float64)
    assert off(dw, wide.T @ gradient, np.abs(wide).T @ np.abs(gradient)) <= BOUND[np.dtype(real).name]
    assert off(dbias, gradient.sum(axis=0), np.abs(gradient).sum(axis=0)) <= BOUND[np.dtype(real).name]


def test_a_mask_that_was_not_written_is_not_read() -> None:
    a, b, bias, y = drawn(5, 6, 7, np.float32)
    mask = np.zeros((5, mask_bytes(7)), dtype=np.uint8)
    device = planned()
    device.lt.refused = {"RELU_AUX_BIAS"}
    there = [device.asarray(array) for array in (a, b, bias, y, mask)]
    device.bind(PRODUCT_BIAS, there, {**PLAIN, "activation": RELU})()
    scratch = [np.zeros((parts(7), 7), np.float32), np.zeros(1, np.uint32)]
    more = [np.eye(7, dtype=np.float32), np.empty_like(y), np.empty(7, np.float32), *scratch]
    w, dz, *others = (device.asarray(array) for array in more)
    arrays = [there[3], w, there[3], there[4], dz, *others]
    device.bind(PRODUCT_RELU_BACKWARD, arrays, {"transpose_a": 0, "transpose_b": 1})()
    assert "DRELU_BGRAD" not in device.lt.epilogues
    assert np.array_equal(device.to_numpy(dz), device.to_numpy(there[3]))


@pytest.mark.parametrize(
    ("status", "name", "level"), [(15, "NOT_SUPPORTED", logging.INFO), (7, "INVALID_VALUE", logging.WARNING)]
)
def test_an_epilogue_that_is_not_there_is_noted_and_done_without(
    status: int, name: str, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    a, b, bias, y = drawn(5, 6, 7, np.float32)
    device = planned()
    device.lt.refused, device.lt.status = {"RELU_BIAS"}, status
    with caplog.at_level(logging.INFO, "gearshift"):
        run(device, PRODUCT_BIAS, [a, b, bias, y], {**PLAIN, "activation": RELU})
    (record,) = (record for record in caplog.records if "epilogue" in record.getMessage())
    assert record.levelno == level and "RELU_BIAS" in record.getMessage() and name in record.getMessage()
    assert np.allclose(y, np.maximum(a @ b + bias, 0), atol=1e-5)


def test_mistakes_are_not_taken_for_a_missing_epilogue() -> None:
    a, b, bias, y = drawn(5, 6, 7, np.float32)
    device = planned()
    device.lt.refused, device.lt.status = {"RELU_BIAS"}, 14
    with pytest.raises(device.lt.cuBLASLtError) as raised:
        run(device, PRODUCT_BIAS, [a, b, bias, y], {**PLAIN, "activation": RELU})
    assert raised.value.status == 14

    def mistaken(*arguments: Any) -> None:
        raise TypeError("a wrong argument")

    device.lt.refused, device.lt.matmul = set(), mistaken
    with pytest.raises(TypeError, match="a wrong argument"):
        run(device, PRODUCT_BIAS, [a, b, bias, y], {**PLAIN, "activation": RELU})


def test_choices_between_one_launch_and_several_are_kept_and_replayed(tmp_path: Path) -> None:
    for fused in (True, False):
        file = tmp_path / f"{fused}.json"
        first = planned(file, fused)
        a, b, bias, y = drawn(4, 5, 6, np.float32)
        attributes = {**PLAIN, "activation": RELU}
        run(first, PRODUCT_BIAS, [a, b, bias, y], attributes)
        ((key, words),) = ((key, words) for key, words in first.choices.items() if "RELU_BIAS" in key)
        assert bool(words) is fused and first.products.measured[f"{key} in separate launches"]
        again = planned(file)
        run(again, PRODUCT_BIAS, [a, b, bias, y], attributes)
        assert again.products.measured == {} and again.choices == first.choices
        assert (again.lt.epilogues[-1] == "RELU_BIAS") is fused


def trainer(where: str = "cupy", dtype: str = "float32", precision: str | None = None) -> gs.Trainer:
    layers = [gs.Standardize(6), gs.Linear(6, 10), gs.ReLU(), gs.Linear(10, 9), gs.ReLU(), gs.Linear(9, 8), gs.GELU()]
    model = gs.Sequential(*layers, gs.Linear(8, 7), gs.Tanh(), gs.Linear(7, 3, bias=False), dtype=dtype)
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend=where, precision=precision)


def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.standard_normal((100, 6)).astype(np.float32), random.integers(0, 3, 100)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The bindings, on which the GPU backend notes its products for the time being."""
    noting = planned()
    monkeypatch.setattr(backends.get("cupy"), "products", noting.products)
    return noting.lt


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


def test_a_network_is_joined_where_it_can_be_and_learns_the_same(notes: Any) -> None:
    together, apart = trainer(), trainer(Apart.name)
    for each in (together, apart):
        each.fit(data(), validation=data(), epochs=3, batch_size=16, verbose=False)
    for ours, theirs in zip(together.history.records, apart.history.records, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["validation_loss"] == pytest.approx(theirs["validation_loss"], rel=1e-5)
    assert np.allclose(together.predict_proba(data()[0]), apart.predict_proba(data()[0]), rtol=0, atol=1e-5)
    assert "GELU_BIAS" in notes.epilogues, "where nothing goes back"
    assert "DRELU_BGRAD" in notes.epilogues


def test_the_launches_of_its_step_are_as_listed(notes: Any) -> None:
    loop = Loop(trainer(), gs.Dataset(*data()), None, 16)
    loop.state.prepare(1)
    steps = loop.plan.steps(16)
    notes.epilogues.clear()
    with launches() as found:
        steps.run(1)
    assert {name: number for name, number in found.items() if name in {*STEP}} == Counter(STEP)
    products = [name.removeprefix("product").strip() for name in STEP if name.startswith("product")]
    assert notes.epilogues == products, "in this order"


def test_in_bfloat16_gradients_of_hidden_biases_stay_float32() -> None:
    loop = Loop(trainer(precision="bfloat16"), gs.Dataset(*data()), None, 16)
    names = [call.node.operation.name for call in loop.plan.bind(16)]
    assert "product_relu_backward" not in names and "product_bias" in names and "product_bias_gradient" in names
