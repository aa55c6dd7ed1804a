"""Precision: which there are where, what a wrong one says, and that TF32 reaches the products alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from cuda_on_cpu import unavailable
from fake_cupy import CudaOnCpu, stand_ins

import gearshift as gs
from gearshift.dl.experiment import build as experiment
from gearshift.dl.experiment import config


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with stand_ins(CudaOnCpu):
        yield


def trainer(backend: str, precision: str | None = None, dtype: str = "float32") -> gs.Trainer:
    model = gs.Sequential(gs.Linear(20, 30), gs.ReLU(), gs.Linear(30, 4), dtype=dtype)
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=0.1), backend=backend, precision=precision)


def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.standard_normal((300, 20)).astype(np.float32), random.integers(0, 4, 300)


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_tf32_rounds_the_factors_of_products_and_nothing_else() -> None:
    losses = {}
    for backend, precision in (CudaOnCpu.name, "tf32"), (CudaOnCpu.name, "float32"), ("numpy", "float32"):
        run = trainer(backend, precision)
        run.fit(*data(), epochs=3, batch_size=32, verbose=False)
        losses[backend, precision] = [record["loss"] for record in run.history.records]
        assert run.state.arena.values.dtype == np.float32
    exact = np.array(losses["numpy", "float32"])
    off = {key: float(np.max(np.abs(np.array(found) - exact) / exact)) for key, found in losses.items()}
    assert off[CudaOnCpu.name, "float32"] < 1e-5 < off[CudaOnCpu.name, "tf32"] < 1e-2


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_evaluation_and_prediction_have_the_precision_of_training() -> None:
    exact, rounded = (trainer(CudaOnCpu.name, precision) for precision in ("float32", "tf32"))
    x, y = data()
    difference = np.abs(exact.predict_proba(x) - rounded.predict_proba(x)).max()
    assert 1e-6 < difference < 1e-2
    assert exact.evaluate(x, y)["loss"] != rounded.evaluate(x, y)["loss"]


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_a_run_of_tf32_stays_where_there_is_tf32() -> None:
    run = trainer(CudaOnCpu.name, "tf32")
    with pytest.raises(gs.ConfigurationError, match=r"backend 'numpy' supports .*, but not 'tf32'"):
        run.to("numpy")
    assert run.backend.name == CudaOnCpu.name


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_the_cpu_has_float32_and_float64(backend: str) -> None:
    for precision in ("float32", "float64"):
        assert trainer(backend, precision, precision).precision == precision
        assert trainer(backend, None, precision).precision == precision
    message = f"backend '{backend}' supports float32, float64.*, but not 'tf32'. Use an NVIDIA GPU"
    with pytest.raises(gs.ConfigurationError, match=message):
        trainer(backend, "tf32")


def test_numba_has_no_numbers_of_sixteen_bits() -> None:
    for precision in ("bfloat16", "float16"):
        with pytest.raises(gs.ConfigurationError, match=f"but not '{precision}'. .* or backend 'numpy'"):
            trainer("numba", precision)


def test_wrong_precisions_name_what_there_is() -> None:
    with pytest.raises(
        gs.ConfigurationError, match=r"precision is 'int8'; expected one of: float32, float64, tf32, bfloat16, float16"
    ):
        trainer("numpy", "int8")
    with pytest.raises(gs.ConfigurationError, match=r"'float64', which is for models of dtype float64, but .* float32"):
        trainer("numpy", "float64")
    with pytest.raises(gs.ConfigurationError, match=r"train\.precision is 'half'; expected one of: auto, float32"):
        config.parse({}, ["train.precision=half"])


def test_the_configuration_chooses_it() -> None:
    settings = ["train.precision=float64", "model.dtype=float64", "data.source=digits", "backend.name=numpy"]
    _, run = experiment.build(config.parse({}, settings))
    assert run.precision == "float64" and experiment.build(config.parse({}, settings[3:]))[1].precision == "float32"
