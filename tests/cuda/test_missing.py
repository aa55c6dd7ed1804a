"""What is said where a part of what CuPy needs is not installed, or is installed twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest
import stand_in
from installed import environment

ASK = """
import json
from gearshift import backends
status, chosen = backends.available()["cupy"], backends.get("auto")
print(json.dumps([status.runs, status.reason, status.remedy, status.remark, backends.explain(chosen)]))
"""
# a toolkit of the system may have them
NO_HEADERS = "import cuda.pathfinder as found; found.find_nvidia_header_directory = lambda name: None"
OTHER_CUPY = {"cupy_cuda13x-14.2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: cupy-cuda13x\nVersion: 14.2.0\n"}


@dataclass(frozen=True)
class Machine:
    """What a machine lacks, or has beside, and what is said of it."""

    reason: str
    remedy: str = "pip install 'gearshift[cuda12]'"
    without: tuple[str, ...] = ()
    hidden: str = ""
    more: Mapping[str, str] = field(default_factory=dict)
    first: str = ""  # what the process runs before it asks


MACHINES = {
    "CuPy": Machine(
        "CuPy is not installed",
        "pip install 'gearshift[cuda12]' (or 'gearshift[cuda13]' for a driver of CUDA 13)",
        without=("cupy", "cupy_*", "cupyx"),
    ),
    "cuda-pathfinder": Machine(
        "CuPy fails to load: No module named 'cuda.pathfinder'",
        "pip install 'gearshift[cuda12]' (or 'gearshift[cuda13]' for a driver of CUDA 13)",
        without=("cuda/pathfinder",),
    ),
    "NVRTC": Machine(
        "the library libnvrtc of CUDA is not installed: ",
        without=("nvidia/cuda_nvrtc", "nvidia_cuda_nvrtc*"),
        hidden="libnvrtc.so.12",
    ),
    "cuBLAS": Machine("the library libcublas of CUDA is not installed: ", hidden="libcublas.so.12"),
    "cuBLASLt": Machine("the library libcublasLt of CUDA is not installed: ", hidden="libcublasLt.so.12"),
    "headers": Machine("the headers of CUDA are not installed: ", first=NO_HEADERS),
    "two CuPys": Machine(
        "cupy-cuda12x and cupy-cuda13x are installed and overwrite each other: ",
        "pip uninstall cupy-cuda12x cupy-cuda13x, then pip install 'gearshift[cuda12]'",
        hidden="libcublas.so.12",
        more=OTHER_CUPY,
    ),
}


def run(folder: Path, machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python ARGUMENTS…`` on such a machine."""
    python = environment(folder, machine.without, machine.more) if machine.without or machine.more else sys.executable
    settings = {"STAND_IN_HIDDEN": machine.hidden, "STAND_IN_HEADERS": str(stand_in.headers()), "COLUMNS": "300"}
    return subprocess.run(
        [python, *arguments], env={**os.environ, **settings}, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("missing", MACHINES)
def test_what_is_missing_is_named_with_its_remedy(missing: str, tmp_path: Path) -> None:
    if missing == "headers" and metadata.version("cupy-cuda12x").startswith("14.0."):
        pytest.skip("CuPy 14.0 also looks for headers elsewhere, and a toolkit of the system may have them")
    machine = MACHINES[missing]
    done = run(tmp_path, machine, "-c", f"{machine.first}\n{ASK}")
    assert done.returncode == 0, done.stdout + done.stderr
    runs, reason, remedy, _, line = json.loads(done.stdout.splitlines()[-1])
    assert not runs and reason.startswith(machine.reason) and remedy == machine.remedy
    assert "\n" not in reason
    assert line.startswith("backend numba on ") and f"(no GPU: {reason})" in line


def test_the_command_line_ends_in_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, MACHINES["NVRTC"], "-m", "gearshift", "train", "--backend", "cupy")
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert said.startswith("error: backend 'cupy' cannot run here: the library libnvrtc of CUDA is not installed")
    assert said.endswith("To fix this: pip install 'gearshift[cuda12]'")


def test_doctor_says_what_is_lost_without_nvmath_python(tmp_path: Path) -> None:
    machine = Machine("", without=("nvmath", "nvmath_*"))
    done = run(tmp_path, machine, "-m", "gearshift", "doctor")
    assert "stand-in for an H100" in done.stdout and "nvmath-python not installed" in done.stdout
    wanted = "cupy: products use cupy.matmul and steps are launched call by call, without nvmath-python: "
    assert f"{wanted}pip install nvmath-python" in done.stdout.splitlines()
