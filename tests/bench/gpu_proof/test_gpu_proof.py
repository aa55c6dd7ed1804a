"""The proof of the GPU path, rehearsed end to end on the CPU with host-run kernels standing in for the device."""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import unavailable
from fake_cupy import CudaOnCpu, stand_ins

from gearshift import backends
from gearshift.bench.batch.measure import noise_run, peak_rates, sweep
from gearshift.bench.batch.measure import proof as cause
from gearshift.bench.gpu_proof import __main__ as proof
from gearshift.bench.gpu_proof import contenders, epochs, others, stand_in
from gearshift.bench.gpu_proof import part as parts
from gearshift.bench.gpu_proof import report as reports
from gearshift.bench.gpu_proof.report import DeviceLost, NotRun, ProofReport, TimeUp
from gearshift.bench.gpu_proof.scale import BRIEF, FULL, SMALL
from gearshift.bench.peers import networks

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())


@pytest.fixture(autouse=True)
def on_the_stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: None)  # it would end all tests
    with stand_ins():
        stand_in.prepared(rehearse=True)
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
@pytest.mark.parametrize(
    "part", [pytest.param(1, marks=pytest.mark.long), *(part for part in parts.PARTS if part != 1)]
)
def test_a_part_runs_to_its_end(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if part == 3:  # other libraries are heavy: one that is not there, and one that only waits

        def absent(*_: Any) -> Any:
            raise ImportError("No module named 'torch'")

        for name in ("torch_eager", "torch_graph", "torch_compiled"):
            monkeypatch.setattr(others, name, absent)
        monkeypatch.setattr(others, "jax_steps", lambda *_, **__: lambda steps: None)
        monkeypatch.setattr(epochs, "others", lambda: {"torch": absent, "jax": lambda *_: lambda: None})
    parts.run(part, tmp_path, backends.get(CudaOnCpu.name), SMALL)
    written = json.loads((tmp_path / f"part-{part}.json").read_text())
    states = {check["state"] for check in written["checks"]}
    wrong = {c["name"]: (c["error"], c["values"].get("traceback")) for c in written["checks"] if c["state"] == "failed"}
    assert not wrong and states <= {"holds", "not run", "met", "missed"}
    assert len(written["checks"]) > 2 and written["machine"]["device"] == "the CPU"
    assert (tmp_path / f"part-{part}.md").read_text().count("\n| ") > 2
    assert len(list(tmp_path.iterdir())) <= 8


ABSENT = (
    "ml_dtypes pydantic typer rich tomli_w filelock platformdirs threadpoolctl sklearn matplotlib safetensors scipy "
    "torch jax numba cupy pytest"
)


@pytest.mark.long
def test_it_needs_little_more_than_numpy(tmp_path: Path) -> None:
    """On the GPU's machine hardly anything may be installed; here what it must do without is hidden."""
    text = f"""
import sys
from pathlib import Path
import fake_cupy
for name in {ABSENT.split()}:
    for loaded in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
        del sys.modules[loaded]
    sys.modules[name] = None
import cuda_cases
from gearshift.bench.gpu_proof import part, stand_in, works
from gearshift.bench.gpu_proof.scale import BRIEF, FULL, SMALL
device = stand_in.prepared(rehearse=True)
cuda_cases.COVERED[:] = ["adam", "gather_pair", "softmax_cross_entropy"]
works.TRAININGS = {{name: works.TRAININGS[name] for name in ("SGD", "SGD with momentum", "Adam", "AdamW, clipped")}}
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
        2: {"not measured", picture},
        3: {"not measured", picture, nobody, "bfloat16 does not run here"},
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
    works.TRAININGS = {name: works.TRAININGS[name] for name in ("SGD", "Adam", "AdamW, clipped")}
    works.JOINED, works.usable = (), lambda backend: ["float32"]
"""


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
    monkeypatch.setattr(others, "points", None)
    assert parts.run(3, tmp_path, backends.get(CudaOnCpu.name), SMALL).failed == 1
    checks = json.loads((tmp_path / "part-3.json").read_text())["checks"]
    assert checks[-1]["name"] == "the part itself" and "not callable" in checks[-1]["error"]


def test_a_process_that_never_begins_is_reported(tmp_path: Path) -> None:
    (tmp_path / "part-1.json").write_text("what an earlier proof has left")
    assert proof.prove(1, tmp_path, ["--nonsense"]) == 1
    (check,) = json.loads((tmp_path / "part-1.json").read_text())["checks"]
    assert (check["name"], check["state"], check["error"]) == ("the part itself", "failed", "exit status 2")


def test_a_check_ends_the_process_when_its_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    armed: list[Any] = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *given, **named: armed.append((given, named)))
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: armed.append("off"))
    report = ProofReport(1, "a title", tmp_path, {}, seconds=1000)
    with report.check("one"), report.check("another", longest=5):
        pass
    report.ends = time.monotonic() + 60
    with report.check("the last"):
        pass
    on = {"exit": True}
    assert armed[:4] == [((reports.LONGEST,), on), ((5,), on), "off", "off"]
    assert 50 < armed[4][0][0] <= 60 and armed[5] == "off"


def test_a_device_that_is_lost_ends_the_process_in_its_check(tmp_path: Path) -> None:
    class Lost(RuntimeError):
        status = 719

    report = ProofReport(1, "a title", tmp_path, {})
    with pytest.raises(DeviceLost, match="unspecified launch failure"), report.check("breaks"):
        raise Lost("unspecified launch failure")
    found = ProofReport.read(1, "a title", tmp_path)
    assert found.running is not None and found.running.name == "breaks"


def test_numbers_that_are_not_finite_are_written_as_json_has_them(tmp_path: Path) -> None:
    report = ProofReport(1, "a title", tmp_path, {})
    with report.check("some") as check:
        check["none"], check["all"], check["one"] = float("nan"), [np.float32("inf")], np.float32(1)
    (written,) = json.loads((tmp_path / "part-1.json").read_text(), parse_constant=pytest.fail)["checks"]
    assert written["values"] == {"none": "nan", "all": ["inf"], "one": 1.0}


def test_a_check_that_fails_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    report = ProofReport(1, "a title", tmp_path, {})
    with report.check("breaks") as check:
        check["number"] = 3.0
        raise ZeroDivisionError("a reason")
    with report.check("is not borne out") as check:
        check.require(False, "a claim")
    with report.check("lacks something"):
        raise NotRun("nothing there")
    with report.check("holds"):
        pass
    assert report.failed == 2
    written = json.loads((tmp_path / "part-1.json").read_text())["checks"]
    assert [c["state"] for c in written] == ["failed", "failed", "not run", "holds"]
    assert "ZeroDivisionError: a reason" in written[0]["error"] and written[0]["values"]["number"] == 3
    assert "| breaks | failed | ZeroDivisionError: a reason; number 3 |" in (tmp_path / "part-1.md").read_text()


def test_goals_are_met_or_missed_and_fail_nothing(tmp_path: Path) -> None:
    report = ProofReport(1, "a title", tmp_path, {})
    report.goal("fast", True, "2 of 1")
    report.goal("faster", False, "2 of 3")
    report.goal("fastest", None, "nobody to compare with")
    assert report.failed == 0
    table = (tmp_path / "part-1.md").read_text()
    assert "| goal: fast | met | 2 of 1 |" in table and "| goal: faster | missed | 2 of 3 |" in table
    assert "| goal: fastest | not run | nobody to compare with |" in table


def test_a_part_ends_when_its_time_is_up(tmp_path: Path) -> None:
    report = ProofReport(1, "", tmp_path, {}, seconds=1)
    report.ends -= 1
    with pytest.raises(TimeUp, match="before: the next"), report.check("the next"):
        pass
    with report.check("what is known is drawn all the same", late=True) as check:
        pass
    assert check.state == "holds"


def test_limited_minutes_are_shared_and_what_is_left_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls of six minutes: is it right and fast, and how does it compare."""
    given: list[tuple[int, tuple[str, ...], float]] = []
    monkeypatch.setattr(
        proof, "prove", lambda number, _, options, seconds: given.append((number, options, seconds)) or 0
    )
    for numbers in ("12", "35"):
        parts_ = [word for number in numbers for word in ("--part", number)]
        assert proof.main(["--out", str(tmp_path), "--minutes", "6", *parts_]) == 0
    assert [number for number, _, _ in given] == [1, 2, 3, 5]
    assert {tuple(options) for _, options, _ in given} == {("--brief",)}
    # nothing took any time here, so each later part has all that is left
    assert [seconds for *_, seconds in given] == pytest.approx([180, 360, 240, 360], abs=5)
    with pytest.raises(SystemExit):
        proof.main(["--out", str(tmp_path), "--minutes", "nan"])


def test_a_short_part_begins_checks_until_its_last_eighth(tmp_path: Path) -> None:
    report = ProofReport(1, "", tmp_path, {}, seconds=80)
    report.ends -= 69
    with report.check("in time"):
        pass
    report.ends -= 2
    with pytest.raises(TimeUp), report.check("too late"):
        pass


def test_a_brief_proof_leaves_out_and_adds_nothing() -> None:
    for name in ("kernels", "products", "networks", "batch_sizes", "epochs_of", "wide_batches", "swept"):
        assert set(getattr(BRIEF, name)) < set(getattr(FULL, name)), name
    assert BRIEF.seconds * BRIEF.rounds < FULL.seconds * FULL.rounds and BRIEF.plans < FULL.plans


def test_a_machine_without_a_gpu_is_told_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if backends.available()["cupy"].runs:
        pytest.skip("here is a GPU")
    assert proof.main(["--out", str(tmp_path)]) == 2
    assert "backend 'cupy' cannot run here" in capfd.readouterr().err


def test_parts_take_no_more_than_nine_minutes() -> None:
    assert reports.LIMIT + 5 < 540 and reports.MARGIN < reports.LIMIT


def test_the_rivals_epoch_takes_every_row_once() -> None:
    torch = pytest.importorskip("torch")
    network = networks.parse("12-8-4")
    epoch = epochs.TorchEpochs(network, networks.weights(network), epochs.pixels(network, 256), capture=False)
    first = epoch()
    assert torch.equal(epoch.made.order[:256].sort().values, torch.arange(256))
    assert 0 < epoch() < first


@pytest.mark.parametrize("short", ["", "autocast", "weights"])
def test_the_rival_in_pytorch_takes_the_same_steps(short: str) -> None:
    """Its setting must be honest: the loss falls as in float32, to what bfloat16 rounds."""
    pytest.importorskip("torch")
    network = networks.parse("12-8-4")
    given = network, networks.weights(network), *networks.batch(network, 32)
    exact, made = contenders.Torch(*given), contenders.Torch(*given, short=short)
    exact.run(20)
    made.run(20)
    assert float(made.total) == pytest.approx(float(exact.total), rel=1e-2)
    for mine, theirs in zip(made.masters, exact.masters, strict=True):
        assert mine.dtype == theirs.dtype and float((mine - theirs).detach().abs().max()) < 5e-3
