"""Precision: which there are on the CPU, and what a wrong one says."""

from __future__ import annotations

import pytest

import gearshift as gs
from gearshift.dl.experiment import build as experiment
from gearshift.dl.experiment import config


def trainer(backend: str, precision: str | None = None, dtype: str = "float32") -> gs.Trainer:
    model = gs.Sequential(gs.Linear(20, 30), gs.ReLU(), gs.Linear(30, 4), dtype=dtype)
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=0.1), backend=backend, precision=precision)


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
