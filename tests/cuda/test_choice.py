"""Whether the GPU is used, and what is said where it is not: on machines with other drivers, devices and memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from processes import run

ASK = """
import json, warnings
from gearshift import backends
status = backends.available()["cupy"]
chosen = backends.get("auto")
print(json.dumps([status.runs, status.reason, status.remedy, chosen.name, backends.registry.explain(chosen)]))
"""
MACHINES: dict[str, tuple[dict[str, str], str, str]] = {
    "no driver": (
        {"STAND_IN_DRIVER": "0", "STAND_IN_DEVICES": "0"},
        "CuPy finds no NVIDIA driver",
        "install NVIDIA's driver",
    ),
    "an old driver": (
        {"STAND_IN_DRIVER": "11080"},
        "NVIDIA's driver is too old: it supports CUDA 11.8, CuPy needs CUDA 12.9",
        "install a driver for CUDA 12",
    ),
    "a hidden device": (
        {"STAND_IN_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "7"},
        "CUDA_VISIBLE_DEVICES='7' leaves no GPU",
        "unset CUDA_VISIBLE_DEVICES",
    ),
    "no device": ({"STAND_IN_DEVICES": "0"}, "NVIDIA's driver finds no GPU", "nvidia-smi lists the GPUs"),
    "a full device": (
        {"STAND_IN_BYTES": str(1 << 20)},
        "the GPU fails a test product or kernel: OutOfMemoryError",
        "free GPU memory; nvidia-smi lists the processes",
    ),
}


def asked(settings: dict[str, str]) -> list[Any]:
    return json.loads(run("-c", ASK, machine=settings).splitlines()[-1])


def test_a_working_device_is_chosen() -> None:
    runs, _, _, chosen, line = asked({})
    assert runs and chosen == "cupy"
    assert line == "backend cupy on stand-in for an H100, compute capability 9.0"


@pytest.mark.parametrize("machine", MACHINES)
def test_a_device_that_cannot_be_used(machine: str) -> None:
    settings, reason, remedy = MACHINES[machine]
    runs, said, help_, chosen, line = asked(settings)
    assert not runs and reason in said and remedy in help_
    assert chosen == "numba" and f"(no GPU: {said})" in line


def test_the_command_line_says_why_in_one_line() -> None:
    arguments = ("-m", "gearshift", "train", "--backend", "cupy", "--set", "train.epochs=1")
    said = run(*arguments, fails=True, machine={"STAND_IN_DRIVER": "11080"})
    assert "driver is too old" in said and "Traceback" not in said


def test_doctor_lists_the_device() -> None:
    said = run("-m", "gearshift", "doctor", machine={"COLUMNS": "200"})
    assert "stand-in for an H100" in said and "nvmath-python" in said
