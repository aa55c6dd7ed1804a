"""`gearshift bench`: what it refuses, measures, prints and writes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import simulation
from rich.console import Console

from gearshift.__main__ import main
from gearshift.bench.batch import command, files, records
from gearshift.bench.batch.command import parse_seconds, parse_sizes
from gearshift.bench.batch.measure.proof import strongest
from gearshift.bench.batch.measure.steps import TimedSteps
from gearshift.bench.batch.measure.sweep import Budget, Stopped, Sweep, SweptBackend
from gearshift.bench.batch.measure.task import machine, task_of
from gearshift.bench.batch.show.report import show
from gearshift.dl.data import Splits
from gearshift.dl.data.resident import Resident
from gearshift.dl.experiment import build as experiment
from gearshift.dl.experiment.config import parse
from gearshift.dl.experiment.sections import Configuration
from gearshift.dl.training.loop import Loop

TINY = ["--batch-sizes", "1,4,2000", "--budget", "2s", "--set", "model.hidden=[8]", "--set", "train.seed=1"]


def call(*arguments: object, code: int = 0) -> None:
    """Runs the command in this process and checks its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["bench", *map(str, arguments)])
    assert (ended.value.code or 0) == code


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch-sizes", "1:x"], "'1:x' is not valid"),
        (["--batch-sizes", "64:8"], "'64:8' is not valid"),
        (["--batch-sizes", "0,8"], "'0' is not valid"),
        (["--batch-sizes", "8,,9"], "'' is not valid"),
        (["--budget", "best"], "--budget 'best' is not valid"),
        (["--budget", "0s"], "--budget '0s' is not valid"),
        (["--backends", "numbo"], "did you mean 'numba'?"),
        (["--out", "no/such/file.json"], "there is no folder no/such"),
        (["--out", "."], "--out . is a folder"),
        (["--resume"], "--resume continues the file of --out FILE"),
        (["--resume", "--out", "none.json"], "there is no none.json"),
        (["none.toml"], "cannot read configuration none.toml"),
        (["--set", "model.hiden=[8]"], "model.hiden is not a known key"),
        (["--set", "data.source=none.npz"], "none.npz"),
        (["--from", "none.json"], "none.json"),
        (["--set", "optimizer.name=NewtonCG"], "'NewtonCG' does not train on mini-batches"),
        (["--set", "optimizer.name=DeltaBarDelta"], "'DeltaBarDelta' does not train on mini-batches"),
        (["--set", "train.accumulate=4"], "train.accumulate is 4, which `gearshift bench` does not support"),
        (["--set", "train.class_weight=balanced"], "--set train.class_weight=none"),
    ],
)
def test_mistakes_end_in_one_line(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is measured, with exit code 2."""
    call(*options, code=2)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err and len(printed.err.splitlines()) == 1


def test_sizes_and_seconds() -> None:
    """Doublings, lists, and units."""
    assert parse_sizes("1:9") == [1, 2, 4, 8]
    assert parse_sizes("100, 3:12,100") == [3, 6, 12, 100]
    assert parse_sizes("1:65536")[-1] == 65536
    assert [parse_seconds(text) for text in ("90", "90s", "1.5m", "1h")] == [90, 90, 90, 3600]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a tiny run on both processors' backends; numba's steps are compiled."""
    path = tmp_path_factory.mktemp("bench") / "tiny.json"
    call(*TINY, "--set", "model.dropout=0.0", "--backends", "numpy,numba", "--out", path)
    return path


def test_file_has_the_documented_schema(measured: Path) -> None:
    """A record a batch size and backend, with the bound, the share and the step's seconds."""
    tree = json.loads(measured.read_text())
    assert [(one["backend"], one["batch"]) for one in tree["benchmarks"]] == [
        (backend, batch) for backend in ("numpy", "numba") for batch in (1, 4, 2000)
    ]
    for one in tree["benchmarks"]:
        assert one["bound"] in ("compute", "memory", "launch", "other") and one["share"] > 0
        assert one["step_seconds"] == one["stats"]["median"] > 0
        assert len(one["rounds"]) == len(one["disturbances"]) == len(one["disturbed"]) >= 3 and one["memory_bytes"] > 0
        assert all(disturbance["waited"] >= 0 and disturbance["calls"] > 0 for disturbance in one["disturbances"])
        assert one["attainable_seconds"] == pytest.approx(one["share"] * one["step_seconds"])
        assert one["batch"] <= 1258 or not one["epochs"], "epochs end at the data's size"
    assert any(one["epochs"] for one in tree["benchmarks"])
    document = files.read(measured)
    assert [record.loop for record in document.backends] == ["graph", "compiled"]
    assert document.task.network == "64-8-10 relu" and document.noise is not None
    assert tree["analysis"]["summary"] and tree["analysis"]["advice"][0]["high"] <= 1258


def test_pytest_benchmark_compares_it(measured: Path) -> None:
    """With its own command."""
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(measured), "--columns=median,iqr,rounds"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=measured.parent, check=False)
    assert done.returncode == 0 and "numba[2000]" in done.stdout, done.stderr


def test_from_and_resume(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file is shown again; going on adds rounds; another configuration is refused."""
    document = files.read(measured)
    for point in document.benchmarks:  # what else the machine did meanwhile is not the matter here
        point.disturbed = [False] * len(point.rounds)
    files.write(document, measured)
    call("--from", measured)
    shown = capsys.readouterr().out
    assert "numba, compiled steps" in shown and "numpy, operation by operation" in shown
    assert "the target fastest" in shown and "learning rate" in shown
    before = {(p.backend, p.batch): len(p.rounds) for p in files.read(measured).benchmarks}
    options = [*TINY, "--set", "model.dropout=0.0", "--backends", "numpy,numba", "--out", measured, "--resume"]
    call(*options)
    after = {(p.backend, p.batch): len(p.rounds) for p in files.read(measured).benchmarks}
    assert after.keys() == before.keys() and all(after[key] > before[key] for key in before)
    capsys.readouterr()
    call(*options, "--set", "optimizer.lr=0.5", code=2)
    assert "was measured with another configuration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "network"),
    [
        (["model.hidden=[8, 6]", "model.activation=tanh", "model.dropout=0.5"], "64-8-6-10 tanh, dropout 0.5"),
        (["model.hidden=[]"], "64-10 relu"),
        (
            ["autoencoder.kind=sparse", "autoencoder.code=4", "model.hidden=[8]"],
            "sparse autoencoder 64-8-4-8-64 relu",
        ),
        (["model.layers=[{kind = 'Linear', out_features = 10}]"], "a graph of 1 layer"),
    ],
)
def test_networks_of_every_kind_are_named_and_timed(settings: list[str], network: str) -> None:
    configuration = parse({}, settings)
    splits = experiment.load(configuration)
    trainer = experiment.build_trainer(configuration, splits, "numpy")
    assert task_of(configuration, splits, trainer).network == network
    assert SweptBackend(trainer, splits, records.BackendRecord(name="numpy")).prepare(4, 1e-3) > 0


@pytest.mark.parametrize(
    ("before", "slow"),
    [(0.02, 0.0), (0.2, 0.0), (0.02, 0.2)],
    ids=["other programs ran", "other programs ran for long", "it is that long"],
)
def test_a_batch_size_is_skipped_only_for_steps_that_were_measured(
    before: float, slow: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where other programs slow a smaller batch size, the larger one seems to take longer than it does."""
    timed, slower = TimedSteps.timed, {1: 0.0, 4: before, 64: slow}
    monkeypatch.setattr(TimedSteps, "timed", lambda self, steps: timed(self, steps) + slower[self.batch])

    def progress(text: str) -> None:
        if before > 0.1 and text.endswith("warming up at batch 64"):
            slower[4] = 0.0  # the other programs end

    configuration = parse({}, ["model.hidden=[8]"])
    splits = experiment.load(configuration)
    task = task_of(configuration, splits, experiment.build_trainer(configuration, splits, "numpy"))
    document = records.Document(asked=[1, 4, 64], task=task)
    Sweep(document, configuration, splits, ["numpy"], Budget(4.0, progress)).run()
    assert ([point.batch for point in document.of("numpy")] == [1, 4, 64]) == (not slow)
    limit = re.search(r"a step of ([\d.]+) s is too long", document.backend("numpy").limit)
    assert bool(limit) == bool(slow) and (limit is None or float(limit[1]) >= slow)


def test_going_on_expects_the_steps_that_were_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch size of the file is measured again, whatever the smaller ones let one expect."""
    configuration = parse({}, ["model.hidden=[8]"])
    splits = experiment.load(configuration)
    task = task_of(configuration, splits, experiment.build_trainer(configuration, splits, "numpy"))
    document = records.Document(asked=[1, 4, 64], task=task)
    Sweep(document, configuration, splits, ["numpy"], Budget(2.0)).run()
    before = len(document.of("numpy")[-1].rounds)
    timed, slower = TimedSteps.timed, {1: 0.0, 4: 0.2, 64: 0.0}
    monkeypatch.setattr(TimedSteps, "timed", lambda self, steps: timed(self, steps) + slower[self.batch])
    Sweep(document, configuration, splits, ["numpy"], Budget(2.0)).run()
    assert document.backend("numpy").limit == "" and len(document.of("numpy")[-1].rounds) > before


@pytest.mark.parametrize("setting", ["train.l1=0.01", "train.soft_threshold=0.01", "train.clip_norm=1.0"])
def test_steps_are_those_that_fit_takes(setting: str) -> None:
    """Operation by operation."""
    configuration = parse({}, ["model.hidden=[8]", setting])
    splits = experiment.load(configuration)
    trainer = experiment.build_trainer(configuration, splits, "numpy")
    timed = TimedSteps(trainer, Resident(trainer.backend, splits.train), 4).plan
    trained = Loop(trainer, splits.train, None, 4).plan
    names = [[call.node.operation.name for call in plan.bind(4)] for plan in (timed, trained)]
    assert names[0] == names[1] and len(names[0]) > 10


def begun(tmp_path: Path, names: list[str]) -> tuple[records.Document, Configuration, Splits, Path]:
    """The file of a made-up run on these backends, and whose configuration it says that it is of."""
    configuration = parse({}, ["model.hidden=[8]"])
    splits = experiment.load(configuration)
    trainer = experiment.build_trainer(configuration, splits, "numpy")
    document = simulation.simulate([simulation.Device(name, 2e-4, 1e-6) for name in names], 900, rows=1000)
    document.simulated, document.machine, document.spent_seconds = False, machine(), 5.0
    document.configuration = configuration.model_dump(exclude={"backend", "checkpoint"})
    document.task = task_of(configuration, splits, trainer)
    files.write(document, out := tmp_path / "made-up.json")
    return document, configuration, splits, out


def test_going_on_with_one_backend_keeps_the_others(tmp_path: Path) -> None:
    """And the time that it took is added to what was spent before."""
    before, configuration, _, out = begun(tmp_path, ["numpy", "numba"])
    asked = command.BenchRequest([1, 4], ["numpy"], 1.0, noise=False, out=out, resume=True)
    after, _ = command.run(configuration, asked)
    rounds = [{(point.backend, point.batch): len(point.rounds) for point in one.benchmarks} for one in (before, after)]
    assert rounds[0].keys() == rounds[1].keys()
    more = {key for key in rounds[0] if rounds[1][key] > rounds[0][key]}
    assert more == {("numpy", 1), ("numpy", 4)}
    assert 5.0 < after.spent_seconds == files.read(out).spent_seconds


def test_pressed_twice_it_ends_at_once_and_keeps_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noted(self: Budget, text: str) -> None:
        if text.endswith("batch 4: round 3"):
            raise KeyboardInterrupt

    monkeypatch.setattr(Budget, "note", noted)
    out = tmp_path / "half.json"
    call("--backends", "numpy", "--no-noise", "--batch-sizes", "1,4,8", "--budget", "60s", "--out", out, code=130)
    assert {point.batch: len(point.rounds) for point in files.read(out).of("numpy")} == {1: 3, 4: 2, 8: 2}


def test_a_validation_that_cannot_be_costs_nothing_else(tmp_path: Path) -> None:
    """Without advice, or interrupted before it has a target, the document says so, or says nothing, and is written."""
    document, configuration, splits, out = begun(tmp_path, ["numpy"])
    budget = Budget(1.0, stopped=True)
    with pytest.raises(Stopped):
        command._validate(document, configuration, splits, budget)
    assert document.validation is None
    files.write(document, out)
    document.noise, document.noise_absent = None, "it was not asked for"
    command._validate(document, configuration, splits, budget)
    console = Console(record=True, width=120, file=io.StringIO())
    show(document, console)
    assert "no validation: it needs the advice, and there is none: it was not asked for" in console.export_text()


INTERRUPTED = """
import os, signal, sys
from gearshift.__main__ import main
from gearshift.bench.batch.measure.sweep import Budget

note = Budget.note

def noted(self, text):
    if text.endswith("batch 4: round 3"):
        os.kill(os.getpid(), signal.SIGINT)
    note(self, text)

Budget.note = noted
options = ["--backends", "numpy", "--no-noise", "--batch-sizes", "1,2,4,8", "--budget", "60s", "--out", sys.argv[1]]
main(["bench", *options])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the signal ends a process there")
def test_interrupt_keeps_what_was_measured(tmp_path: Path) -> None:
    """Ctrl-C in the midst of a round ends the measuring, prints, writes, and exits with 130."""
    out = tmp_path / "half.json"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    command, env = [sys.executable, "-c", INTERRUPTED, str(out)], {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=env)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr and "numpy, operation by operation" in done.stdout
    assert {point.batch: len(point.rounds) for point in files.read(out).of("numpy")} == {1: 3, 2: 3, 4: 2, 8: 2}


def without_time() -> str:
    """A file whose rounds took no time at all."""
    document = simulation.simulate([simulation.Device("cpu", 1e-4, 1e-6)])
    document.benchmarks[3].rounds[2] = 0.0
    return document.model_dump_json()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 1, "task": 3}', "x" * 10, '{"format": 2}', "[" * 200_000, without_time()],
    ids=["empty", "list", "object", "task", "no JSON", "format", "deep", "without time"],
)
def test_foreign_files_are_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line."""
    path = tmp_path / "foreign.json"
    path.write_text(text)
    call("--from", path, code=2)
    assert "is no file of `gearshift bench`" in capsys.readouterr().err


def test_simulations_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the first line, in the sentence, and in the file."""
    path = tmp_path / "simulated.json"
    document = simulation.simulate([simulation.Device("gpu", 2e-4, 5e-8), simulation.Device("cpu", 3e-5, 5e-6)], 900)
    files.write(document, path)
    assert json.loads(path.read_text())["simulated"] is True
    call("--from", path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("SIMULATION") and any(line.startswith("(Simulated.)") for line in lines)


@pytest.mark.long
def test_proof_of_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One change at a time, at the batch sizes where a bound is strongest; predicted beside measured."""
    path = tmp_path / "proved.json"
    options = ["--batch-sizes", "1,256", "--budget", "2s", "--no-noise", "--prove", "--backends", "numba"]
    call(*options, "--set", "model.dropout=0.0", "--out", path)
    proofs = files.read(path).proofs
    assert {"float64", "operation by operation"} <= {proof.change for proof in proofs}
    assert {proof.batch for proof in proofs} <= {1, 256} and all(proof.measured > 0 for proof in proofs)
    assert all(proof.high >= proof.low and proof.bound in ("compute", "memory", "launch") for proof in proofs)
    assert "Effect of single changes to a step of numba" in capsys.readouterr().out


def test_strongest_points() -> None:
    """The smallest batch size, and one for each bound that holds somewhere."""
    document = simulation.simulate([simulation.Roof(5e-6, 2e12, 4e13)])
    points = document.of("simulated 0")
    found = strongest(points)
    assert {point.bound for point in found} == {point.bound for point in points} and len({p.bound for p in found}) > 1
    assert [point.batch for point in found] == sorted({point.batch for point in found})
    assert found[0].batch == 1 and found[0].bound == "launch"
