"""The proof of the GPU path, rehearsed end to end on the CPU with host-run kernels standing in for the device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cuda_on_cpu import unavailable
from fake_cupy import CudaOnCpu, stand_ins

from gearshift import backends
from gearshift.bench.batch import ceilings, noise_run, sweep
from gearshift.bench.batch import proof as cause
from gearshift.bench.gpu_proof import __main__ as proof
from gearshift.bench.gpu_proof import report as reports
from gearshift.bench.gpu_proof import rivals
from gearshift.bench.gpu_proof.report import NotRun, Report, TimeUp
from gearshift.bench.peers import networks

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())


@pytest.fixture(autouse=True)
def stand_in() -> Iterator[None]:
    with stand_ins(CudaOnCpu):
        device: Any = backends.get(CudaOnCpu.name)
        device.device.limit = 1 << 28
        yield


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep whose times mean nothing takes none."""
    for module, name, value in (
        (ceilings, "BLOCK", 1e-5),
        (ceilings, "TRIES", 1),
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
@pytest.mark.parametrize("part", proof.PARTS)
def test_a_part_runs_to_its_end(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if part == 3:  # other libraries are heavy: one that is not there, and one that only waits

        def absent(*_: Any) -> Any:
            raise ImportError("No module named 'torch'")

        for name in ("torch_eager", "torch_graph", "torch_compiled"):
            monkeypatch.setattr(rivals, name, absent)
        monkeypatch.setattr(rivals, "jax_steps", lambda *_, **__: lambda steps: None)
    status = proof.main(["--out", str(tmp_path), "--part", str(part), "--backend", CudaOnCpu.name, "--small"])
    written = json.loads((tmp_path / f"part-{part}.json").read_text())
    wrong = {c["name"]: (c["error"], c["values"].get("traceback")) for c in written["checks"] if c["state"] == "failed"}
    assert not wrong and status == 0
    assert len(written["checks"]) > 2 and written["machine"]["device"] == "the CPU"
    assert (tmp_path / f"part-{part}.md").read_text().count("\n| ") > 2


ABSENT = (
    "ml_dtypes pydantic typer rich tomli_w filelock platformdirs threadpoolctl sklearn matplotlib torch jax numba cupy "
    "pytest"
)


def test_it_needs_little_more_than_numpy(tmp_path: Path) -> None:
    """On the GPU's machine hardly anything may be installed; here what it must do without is hidden."""
    text = f"""
import sys
from fake_cupy import CudaOnCpu
for name in {ABSENT.split()}:
    for loaded in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
        del sys.modules[loaded]
    sys.modules[name] = None
from gearshift import backends
from gearshift.bench.gpu_proof.__main__ import main
backends.register(CudaOnCpu.name, CudaOnCpu)
parts = ["--part", "2", "--part", "4", "--part", "5"]
sys.exit(main(["--out", {str(tmp_path)!r}, "--backend", CudaOnCpu.name, "--small", *parts]))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    checks = json.loads((tmp_path / "part-2.json").read_text())["checks"]
    assert [c["error"] for c in checks if c["state"] == "not run"] == ["not measured", "Matplotlib is not installed"]
    (check,) = json.loads((tmp_path / "part-5.json").read_text())["checks"]
    assert (check["state"], check["error"]) == (
        "not run",
        "pydantic and tomli_w are not installed: pip install pydantic tomli_w",
    )


def test_a_check_that_fails_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    report = Report(1, "a title", tmp_path, {})
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
    report = Report(1, "a title", tmp_path, {})
    report.goal("fast", True, "2 of 1")
    report.goal("faster", False, "2 of 3")
    report.goal("fastest", None, "nobody to compare with")
    assert report.failed == 0
    table = (tmp_path / "part-1.md").read_text()
    assert "| goal: fast | met | 2 of 1 |" in table and "| goal: faster | missed | 2 of 3 |" in table
    assert "| goal: fastest | not run | nobody to compare with |" in table


def test_a_part_ends_when_its_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "BUDGET", -1.0)
    report = Report(1, "", tmp_path, {})
    with pytest.raises(TimeUp, match="before: the next"), report.check("the next"):
        pass
    with report.check("what is known is drawn all the same", late=True) as check:
        pass
    assert check.state == "holds"


def test_a_backend_that_does_not_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert proof.main(["--out", str(tmp_path), "--backend", "abacus"]) == 2
    assert "'abacus' is not known" in capsys.readouterr().err


@pytest.mark.parametrize("short", ["", "autocast", "weights"])
def test_the_rival_in_pytorch_takes_the_same_steps(short: str) -> None:
    """Its setting must be honest: the loss falls as in float32, to what bfloat16 rounds."""
    pytest.importorskip("torch")
    network = networks.parse("12-8-4")
    given = network, networks.weights(network), *networks.batch(network, 32)
    exact, made = rivals.Torch(*given), rivals.Torch(*given, short=short)
    exact.run(20)
    made.run(20)
    assert float(made.total) == pytest.approx(float(exact.total), rel=1e-2)
    for mine, theirs in zip(made.masters, exact.masters, strict=True):
        assert mine.dtype == theirs.dtype and float((mine - theirs).detach().abs().max()) < 5e-3
