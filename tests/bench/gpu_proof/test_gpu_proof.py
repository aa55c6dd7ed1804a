"""The proof of the GPU path: its report, its time, its rivals; tests/cuda/test_proof.py runs its parts."""

from __future__ import annotations

import faulthandler
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gearshift import backends
from gearshift.bench.gpu_proof import __main__ as proof
from gearshift.bench.gpu_proof import contenders, epochs
from gearshift.bench.gpu_proof import report as reports
from gearshift.bench.gpu_proof.report import DeviceLost, NotRun, ProofReport, TimeUp
from gearshift.bench.gpu_proof.scale import BRIEF, FULL
from gearshift.bench.peers import networks


@pytest.fixture(autouse=True)
def no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: None)  # it would end all tests


def test_a_rehearsal_without_cupy_says_what_to_install(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("cupy") is not None:
        pytest.skip("CuPy is installed")
    assert proof.main(["--out", str(tmp_path), "--rehearse", "--part", "4"]) == 2
    assert "--rehearse: cupy-cuda12x is not installed: pip install cupy-cuda12x nvmath-python" in capfd.readouterr().err


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
    epoch = epochs.TorchEpochs(network, networks.weights(network), networks.random_pixels(network, 256), capture=False)
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
