"""The proof of the GPU path, rehearsed end to end on the stand-in for CUDA."""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from registering import registered

from gearshift import backends
from gearshift.bench.batch.measure import noise_run, peak_rates, sweep
from gearshift.bench.batch.measure import proof as cause
from gearshift.bench.gpu_proof import epochs, others, stand_in
from gearshift.bench.gpu_proof import part as parts
from gearshift.bench.gpu_proof.scale import SMALL


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: None)  # it would end all tests
    with registered():
        stand_in.prepared(rehearse=False)
        yield


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep whose times mean nothing takes none."""
    for module, name, value in (
        (peak_rates, "BLOCK", 1e-5),
        (peak_rates, "TRIES", 1),
        (cause, "VISIT", 1e-3),
        (cause, "ROUNDS", 1),
        (cause, "fall_asleep", lambda: None),
        (sweep, "WARM_UP", 0.0),
        (sweep, "ROUNDS", 3),
        (sweep, "fall_asleep", lambda: None),
        (noise_run, "PLACES", 3),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("part", [pytest.param(1, marks=pytest.mark.long), 2, 3, 4, 5])
def test_a_part_runs_to_its_end(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Part 1 with every kernel in every precision takes long; with a few, it runs in tests below."""
    if part == 3:  # other libraries are heavy: one that is not there, and one that only waits

        def absent(*_: Any) -> Any:
            raise ImportError("No module named 'torch'")

        for name in ("torch_eager", "torch_graph", "torch_compiled"):
            monkeypatch.setattr(others, name, absent)
        monkeypatch.setattr(others, "jax_steps", lambda *_, **__: lambda steps: None)
        monkeypatch.setattr(epochs, "others", lambda: {"torch": absent, "jax": lambda *_: lambda: None})
    parts.run(part, tmp_path, backends.get("cupy"), SMALL)
    written = json.loads((tmp_path / f"part-{part}.json").read_text())
    states = {check["state"] for check in written["checks"]}
    wrong = {c["name"]: (c["error"], c["values"].get("traceback")) for c in written["checks"] if c["state"] == "failed"}
    assert not wrong and states <= {"holds", "not run", "met", "missed"}
    assert len(written["checks"]) > 2 and "stand-in" in written["machine"]["device"]
    assert (tmp_path / f"part-{part}.md").read_text().count("\n| ") > 2
    assert len(list(tmp_path.iterdir())) <= 8


ABSENT = (
    "pydantic typer rich tomli_w filelock platformdirs threadpoolctl sklearn matplotlib safetensors scipy "
    "torch jax numba pytest"
)


@pytest.mark.long
def test_it_needs_little_more_than_numpy(tmp_path: Path) -> None:
    """On the GPU's machine hardly anything may be installed; here what it must do without is hidden."""
    text = f"""
import sys
from pathlib import Path
import stand_in as machine
machine.boot()
for name in {ABSENT.split()}:
    for loaded in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
        del sys.modules[loaded]
    sys.modules[name] = None
import cuda_cases
from gearshift.bench.gpu_proof import part, stand_in, works
from gearshift.bench.gpu_proof.scale import BRIEF, FULL, SMALL
device = stand_in.prepared(rehearse=True)
cuda_cases.COVERED[:] = ["adam", "gather_pair", "softmax_cross_entropy"]
works.TRAININGS = {{name: works.TRAININGS[name] for name in ("Adam", "formulas", "transformer")}}
for number in part.PARTS:
    print(part.run(number, Path({str(tmp_path)!r}), device, SMALL).failed)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {n: json.loads((tmp_path / f"part-{n}.json").read_text())["checks"] for n in parts.PARTS}
    failed = {(n, c["name"]): c["error"] for n in checks for c in checks[n] if c["state"] == "failed"}
    assert not failed
    said = {n: {c["error"] for c in checks[n] if c["state"] == "not run"} for n in checks}
    picture, nobody = "Matplotlib is not installed", "nobody to compare with"
    assert said == {
        1: set(),
        2: {picture},
        3: {"not measured", picture, nobody},
        4: set(),
        5: {"pydantic and tomli_w are not installed: pip install pydantic tomli_w"},
    }


INJECTED = """
import os, signal, sys, time
if "gearshift.bench.gpu_proof.part" in sys.orig_argv:
    import agreement, cuda_cases, faulthandler
    from gearshift.bench.gpu_proof import works
    class Lost(RuntimeError):
        status = 700
    right = agreement.worst_error
    def worst_error(operation, *given):
        if operation.name == "adam":
            os.kill(os.getpid(), signal.SIGSEGV)
        if operation.name == "add":
            raise Lost("cudaErrorIllegalAddress")
        if operation.name == "dropout":
            faulthandler.dump_traceback_later(0.2, exit=True)  # the two minutes of a check are over
            time.sleep(100)
        if operation.name == "gather":
            raise ZeroDivisionError("a mistake")
        return right(operation, *given)
    agreement.worst_error = worst_error
    cuda_cases.COVERED[:] = ["activation", "adam", "add", "dropout", "gather", "accumulate_metrics"]
    works.TRAININGS = {name: works.TRAININGS[name] for name in ("Adam", "formulas", "transformer")}
    works.JOINED, works.usable = (), lambda backend: ["float32"]
"""


@pytest.mark.long
def test_what_ends_a_process_fails_one_check_and_the_part_goes_on(tmp_path: Path) -> None:
    """A crash, a device that is lost, and a kernel that never ends: each is named, and what follows is run."""
    (tmp_path / "sitecustomize.py").write_text(INJECTED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *(path for path in sys.path if path)])}
    command = [sys.executable, "-m", "gearshift.bench.gpu_proof", "--out", str(tmp_path), "--rehearse", "--part", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    checks = json.loads((tmp_path / "part-1.json").read_text())["checks"]
    kernels = {c["name"].rpartition(": ")[2]: (c["state"], c["error"]) for c in checks if "kernel against" in c["name"]}
    assert kernels == {
        "activation": ("holds", ""),
        "adam": ("failed", "SIGSEGV: the process ended here"),
        "add": ("failed", "Lost: cudaErrorIllegalAddress: the process ended here"),
        "dropout": ("failed", "it took too long: the process ended here"),
        "gather": ("failed", "ZeroDivisionError: a mistake"),
        "accumulate_metrics": ("holds", ""),
    }
    others = [c["state"] for c in checks if "kernel against" not in c["name"]]
    assert len(others) > 6 and set(others) == {"holds"}
    assert "in worst_error" in done.stderr  # where it hung, and where it crashed
    assert "| kernel against float64: adam | failed | SIGSEGV" in (tmp_path / "part-1.md").read_text()


def test_a_part_that_breaks_outside_its_checks_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "run", None)
    assert parts.run(3, tmp_path, backends.get("cupy"), SMALL).failed == 1
    checks = json.loads((tmp_path / "part-3.json").read_text())["checks"]
    assert checks[-1]["name"] == "the part itself" and "not callable" in checks[-1]["error"]
