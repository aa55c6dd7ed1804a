"""Every CUDA text for every dtype: compiled for every architecture, its resources as in a table."""

from __future__ import annotations

import json

import nvrtc
import pytest
import resources
from cuda_cases import UPDATES, operations

from gearshift.backends.cuda import KernelProgram

pytestmark = pytest.mark.skipif(nvrtc.load() is None, reason="no NVRTC: pip install nvidia-cuda-nvrtc-cu12")

MARGIN = 8  # registers that another version of the compiler may use more
MOST = 64  # registers of a float32 kernel: a multiprocessor then holds four of its blocks


def program(entry: str) -> KernelProgram:
    """The program that holds a kernel, for float32."""
    return next(
        p for p in resources.programs() if set(dict(p.macros).values()) == {"float"} and f"void {entry}(" in p.source
    )


HOPPER = "90"  # compiled by .ci/run; the others by .ci/long, since one takes half a minute


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.slow if name == HOPPER else pytest.mark.long)
        for name in resources.ARCHITECTURES
    ]
)
def architecture(request: pytest.FixtureRequest) -> str:
    """Each architecture that this compiler knows."""
    if int(request.param.rstrip("a")) not in nvrtc.architectures():
        pytest.skip(f"this NVRTC does not know sm_{request.param}")
    return request.param


def test_every_program_compiles_in_silence_to_the_resources_of_the_table(architecture: str) -> None:
    """More registers mean fewer threads that hide the memory's latency; spills and stacks are memory traffic.

    A kernel that is not in the table is held to the bounds alone.
    """
    kernels, said = resources.compiled(architecture)
    assert said == []
    assert len(kernels) >= len(resources.programs_for(architecture))
    assert not [name for name, use in kernels.items() if use["stack"] or use["stores"] or use["loads"]]
    table = json.loads(resources.TABLE.read_text(encoding="utf-8"))
    margin = 0 if table["compiler"] == nvrtc.version() else MARGIN
    listed = {name: by[architecture] for name, by in table["registers and shared bytes"].items() if architecture in by}
    found = resources.used(architecture)
    gone = sorted(listed.keys() - found.keys())
    assert not gone, f"{gone} are no longer there; write the table anew: python tests/kernels/resources.py"
    assert not [name for name, use in found.items() if "double" not in name and use[0] > MOST]
    for name, (registers, shared) in found.items():
        if name not in listed:
            continue
        assert registers <= listed[name][0] + margin, f"{name}: {registers} registers, in the table {listed[name][0]}"
        assert shared <= listed[name][1], f"{name}: {shared} shared bytes, in the table {listed[name][1]}"


FLAT = [
    *(one.entry for one in (operations()[name].cuda for name in UPDATES) if one),
    "activation",
    "add",
    "bias_activation",
    "clip_values",
    "dropout",
    "gelu",
    "gelu_backward",
    "softplus",
    "softplus_backward",
]


@pytest.mark.parametrize("entry", FLAT)
def test_arrays_move_in_sixteen_bytes(entry: str) -> None:
    chosen = program(entry)
    text, _ = nvrtc.compile_cubin(chosen.text, ["-arch=compute_90", *resources.CUPY], "PTX")
    body = text.decode().partition(f".entry {entry}(")[2].partition(".entry")[0]
    assert "ld.global.v4" in body.replace(".nc", "")
    assert "st.global.wb.v4" in body


@pytest.mark.parametrize("entry", ["gather", "gather_standardized", "standardize", "bias_activation"])
def test_no_division_in_a_loop_over_columns(entry: str) -> None:
    for chosen in resources.programs():
        if f"void {entry}(" in chosen.source:
            text, _ = nvrtc.compile_cubin(chosen.text, ["-arch=compute_90", *resources.CUPY], "PTX")
            body = text.decode().partition(f".entry {entry}(")[2].partition(".entry")[0]
            assert "div.s64" not in body and "rem." not in body


def test_a_warning_is_seen() -> None:
    text = 'extern "C" __global__ void k(float* x) { int unused; x[0] = 1; }'
    _, log = nvrtc.compile_cubin(text, ["-arch=sm_80"])
    assert "unused" in log


def test_messages_name_the_file_and_line_of_an_include() -> None:
    chosen = program("add")
    broken = chosen.text.replace("(long long)gridDim.x * blockDim.x", "(long long)gridDimension")
    binary, log = nvrtc.compile_cubin(broken, ["-arch=sm_80"])
    assert not binary
    assert "grid.cuh(" in log
