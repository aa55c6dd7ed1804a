"""The command line: results, exit codes, messages, resuming."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import gearshift as gs
from gearshift.__main__ import main
from gearshift.backends import registry
from gearshift.dl.experiment.config import parse, write
from gearshift.dl.experiment.run_writer import RunWriter
from gearshift.dl.experiment.sample import SAMPLE
from gearshift.dl.experiment.sections import Configuration

QUICK = ["--set", "train.epochs=3", "--set", "model.hidden=[8]", "--backend", "numpy"]


def call(*arguments: object, code: int = 0) -> None:
    """Runs a command in this process and checks its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


def process(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-m", "gearshift", *map(str, arguments)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        **options,  # pyright: ignore[reportArgumentType, reportCallIssue]
    )


def same_state(one: Path, other: Path) -> None:
    """Two checkpoints hold the same bits, the history's timings apart."""
    first, second = load_file(one), load_file(other)
    assert first.keys() == second.keys()
    for name in first.keys() - {"history"}:
        tensor = first[name]
        assert tensor.tobytes() == second[name].tobytes(), name


def metrics(run: Path) -> list[dict[str, float]]:
    """The metrics without timings."""
    return [
        {name: value for name, value in record.items() if name not in ("seconds", "samples_per_second")}
        for record in gs.Run(run).history
    ]


def test_train_evaluate_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run from the first command to labels on disk; `--json` prints one object alone."""
    run = tmp_path / "run"
    call("train", "--run", run, *QUICK, "--json")
    result = json.loads(capsys.readouterr().out)
    assert set(result["test"]) == {"loss", "accuracy"}
    names = {"config.toml", "environment.json", "metrics.jsonl", "best.safetensors", "last.safetensors"}
    assert names | {"learning-curve.png"} <= {path.name for path in run.iterdir()}
    call("evaluate", run, "--json", "--backend", "numpy")
    assert json.loads(capsys.readouterr().out)["test"] == result["test"]

    data = gs.load_dataset("digits", seed=0)
    np.save(tmp_path / "x.npy", data.test.x)
    call("predict", run, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    labels = np.load(tmp_path / "y.npy")
    assert np.mean(labels == data.classes[data.test.y]) == pytest.approx(result["test"]["accuracy"])
    call("predict", run, "--input", tmp_path / "x.npy", "--output", tmp_path / "p.npy", "--probabilities")
    probabilities = np.load(tmp_path / "p.npy")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(data.classes[probabilities.argmax(axis=1)], labels)

    read = gs.Run(run)
    assert read.config["train"]["epochs"] == 3 and len(read.history) == 3
    assert read.environment["backend"] == "numpy"
    assert "Standardize" in repr(read.model)


def test_class_names_come_back(tmp_path: Path) -> None:
    """Text labels of a CSV are what `predict` writes."""
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 2))
    lines = ["a,b,kind"] + [f"{a},{b},{'up' if a > 0 else 'down'}" for a, b in x]
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
    np.save(tmp_path / "x.npy", np.array([[3.0, 0.0], [-3.0, 0.0]]))
    call(
        "train",
        "--run",
        tmp_path / "run",
        *QUICK,
        "--set",
        f"data.source={tmp_path / 'data.csv'}",
        "--set",
        "train.epochs=30",
    )
    call("predict", tmp_path / "run", "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    assert np.load(tmp_path / "y.npy").tolist() == ["up", "down"]


def test_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Float targets take the squared error, and no accuracy is claimed."""
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3))
    np.savez(tmp_path / "data.npz", x=x, y=x @ [1.0, 2.0, 3.0])
    call("train", "--run", tmp_path / "run", *QUICK, "--set", f"data.source={tmp_path / 'data.npz'}", "--json")
    assert set(json.loads(capsys.readouterr().out)["test"]) == {"loss", "r2"}


def test_resume_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """Two epochs and two more equal four; metrics too."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    call("train", "--run", whole, *QUICK, "--set", "train.epochs=4")
    call("train", "--run", parts, *QUICK, "--set", "train.epochs=2")
    call("train", "--run", parts, "--resume", "--set", "train.epochs=4", "--backend", "numpy", "--quiet")
    same_state(whole / "last.safetensors", parts / "last.safetensors")
    same_state(whole / "best.safetensors", parts / "best.safetensors")
    assert metrics(whole) == metrics(parts)


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    """Lines beyond the checkpoint and a torn last line go."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    call("train", "--run", whole, *QUICK)
    call("train", "--run", cut, *QUICK, "--set", "train.epochs=2")
    with (cut / "metrics.jsonl").open("ab") as file:
        file.write(b'{"epoch": 3, "loss": 9}\n{"epoch": 4, "lo')
    call("train", "--run", cut, "--resume", "--set", "train.epochs=3", "--backend", "numpy", "--quiet")
    assert metrics(cut) == metrics(whole)


def test_a_run_that_stopped_early_is_over(tmp_path: Path) -> None:
    """Resuming it trains no further epoch."""
    early = ["--set", "train.patience=1", "--set", "train.epochs=500", "--set", "optimizer.lr=0.05"]
    call("train", "--run", tmp_path, *QUICK, *early)
    before = metrics(tmp_path)
    assert len(before) < 500
    call("train", "--run", tmp_path, "--resume", "--quiet", "--backend", "numpy")
    assert metrics(tmp_path) == before


def test_resume_without_a_checkpoint_starts_afresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also in a directory that is not there."""
    call("train", "--run", tmp_path / "run", *QUICK, "--resume")
    assert "starting afresh" in capsys.readouterr().err
    assert len(gs.Run(tmp_path / "run").history) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "optimizer.lrr=1"], ["optimizer.lrr", "Adam", "lr"]),
        (["--set", "train.epoch=1"], ["train.epoch", "epochs"]),
        (["--set", "trian.epochs=1"], ["trian", "train"]),
        (["--set", "train.epochs=many"], ["train.epochs", "many", "integer"]),
        (["--set", "train.epochs=0"], ["train.epochs", "0", "1"]),
        (["--set", "nonsense"], ["nonsense", "section.key=value"]),
        (["--set", "optimizer.lr=-1"], ["optimizer.lr", "-1"]),
        (["--set", "optimizer.betas=[0.9, 2.0]"], ["betas", "2.0"]),
        (["--set", "optimizer.name=Adamm"], ["optimizer.name", "Adamm"]),
        (["--set", "data.source=missing.npz"], ["missing.npz"]),
        (["--set", "model.hidden=[0]"], ["model.hidden.0", "is 0", "1"]),
        (["--set", "loss.name=MSELoss"], ["loss.name", "data.labels"]),
        (["--set", "train.monitor=nothing", "--set", "train.patience=1"], ["nothing", "validation_loss"]),
        (["--set", "train.monitor=validation_los"], ["train.monitor", "validation_los'", "validation_loss"]),
        (["--backend", "cupy"], ["cupy"]),
        (["--backend", "gpu"], ["gpu", "numba"]),
        (["missing.toml"], ["missing.toml"]),
        (["--set", "optimizer.lr=true"], ["optimizer.lr", "True"]),
        (["--set", "optimizer.lr='0.001'"], ["optimizer.lr", "0.001"]),
    ],
)
def test_mistakes_end_in_one_line_and_exit_code_2(
    arguments: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the thing, its value and what was expected."""
    if arguments == ["--backend", "cupy"] and gs.backends.available()["cupy"].runs:
        pytest.skip("a GPU is here")
    call("train", "--run", tmp_path / "run", "--quiet", *arguments, code=2)
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert all(word in error[0] for word in words), error[0]


def test_a_run_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --resume a directory with a run is refused; with another configuration too."""
    call("train", "--run", tmp_path, *QUICK)
    before = (tmp_path / "last.safetensors").read_bytes()
    call("train", "--run", tmp_path, *QUICK, code=2)
    assert "--resume" in capsys.readouterr().err
    call("train", "--run", tmp_path, "--resume", "--set", "optimizer.lr=0.5", code=2)
    assert "optimizer.lr" in capsys.readouterr().err
    assert (tmp_path / "last.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": np.zeros(60, int)}, ["every row has the label 0", "two classes"]),
        ({"x": np.full((60, 2), 1e200) * np.arange(120).reshape(60, 2)}, ["column 0", "variance"]),
    ],
)
def test_data_that_teach_nothing_are_refused(
    arrays: dict[str, np.ndarray], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    np.savez(tmp_path / "data.npz", **{"x": x, "y": np.arange(60) % 2, **arrays})
    call("train", "--run", tmp_path / "run", *QUICK, "--set", f"data.source={tmp_path / 'data.npz'}", code=2)
    [error] = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("backend ")]
    assert error.startswith("error: ") and all(word in error for word in words), error


def test_a_schedule_keeps_the_length_that_it_began_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More epochs on --resume do not stretch it, which is said; a length that is given does."""
    falling = [*QUICK, "--set", "schedule.name=linear", "--set", "schedule.final=0.5", "--set", "train.epochs=2"]
    call("train", "--run", tmp_path, *falling)
    begun = gs.Run(tmp_path).config["schedule"]["steps"]
    assert begun == gs.Run(tmp_path).history[-1]["step"]
    more = ["train", "--run", tmp_path, "--resume", "--backend", "numpy", "--quiet"]
    assert "schedule 'linear' ends" not in capsys.readouterr().err
    call(*more, "--set", "train.epochs=3")
    said = f"schedule 'linear' ends at step {begun:,} of {begun // 2 * 3:,}; the learning rate is 0.0005 from there on"
    assert f"{said}; to stretch it: --set schedule.steps={begun // 2 * 3}" in capsys.readouterr().err
    assert gs.Run(tmp_path).config["schedule"]["steps"] == begun
    assert gs.Run(tmp_path).history[-1]["lr"] == pytest.approx(0.5e-3)
    call(*more, "--set", "train.epochs=4", "--set", f"schedule.steps={2 * begun}")
    assert gs.Run(tmp_path).history[-1]["lr"] == pytest.approx(0.5e-3, rel=0.01)
    assert gs.Run(tmp_path).history[-1]["lr"] > 0.5e-3


def test_a_run_without_a_checkpoint_begins_again_with_its_own_configuration(tmp_path: Path) -> None:
    """What was killed in its first epoch has left nothing but its configuration."""
    call("train", "--run", tmp_path, *QUICK, "--set", "train.seed=3")
    for name in ("best", "last"):
        (tmp_path / f"{name}.safetensors").unlink()
    before = metrics(tmp_path)
    call("train", "--run", tmp_path, "--resume", "--backend", "numpy", "--quiet")
    assert gs.Run(tmp_path).config["train"]["seed"] == 3
    assert metrics(tmp_path) == before


def test_the_best_weights_are_never_those_of_a_measure_that_is_no_number(tmp_path: Path) -> None:
    trainer = gs.Trainer(gs.Linear(2, 1), gs.MSELoss(), gs.SGD(), backend="numpy")
    writer = RunWriter(tmp_path, 60)
    writer.begin("", trainer, resume=False)
    kept = []
    for epoch, loss in enumerate([math.nan, 0.5, math.nan, 0.4, 0.4, 0.6]):
        trainer.model.load_state_dict({"weight": np.full((2, 1), epoch, np.float32), "bias": np.zeros(1, np.float32)})
        trainer.history.records.append({"epoch": epoch, "loss": 0.0, "validation_loss": loss})
        writer.on_epoch_end(trainer, trainer.history[-1])
        kept.append(int(load_file(tmp_path / "best.safetensors")["model.weight"][0, 0]))
    assert kept == [0, 1, 1, 3, 3, 3]


def test_rows_of_whole_numbers_are_answered(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 9, (60, 2))
    np.savez(tmp_path / "data.npz", x=x, y=x[:, 0] > 4)
    np.save(tmp_path / "x.npy", x)
    call("train", "--run", tmp_path / "run", *QUICK, "--set", f"data.source={tmp_path / 'data.npz'}")
    call("predict", tmp_path / "run", "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    assert len(np.load(tmp_path / "y.npy")) == 60


@pytest.mark.parametrize(
    "arguments",
    [
        ["lr", "--plot", "no/picture.svg"],
        ["lr", "--plot", "picture.abc"],
        ["lr", "--out", "no/trials.json"],
        ["search", "some.toml", "--plot", "picture.abc"],
        ["search", "some.toml", "--out", "."],
        ["predict", "run", "--input", "x.npy", "--output", "no/y.npy"],
    ],
)
def test_a_file_that_cannot_be_written_is_refused_at_once(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call(*arguments, code=2)
    assert capsys.readouterr().err.startswith(f"error: {arguments[-2]} {arguments[-1]}")


def test_a_wrong_number_of_threads_is_no_reason_to_take_another_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry._forget()
    monkeypatch.setenv("GEARSHIFT_THREADS", "many")
    call("train", "--run", tmp_path, "--quiet", code=2)
    assert "GEARSHIFT_THREADS is 'many'" in capsys.readouterr().err
    monkeypatch.undo()
    registry._forget()


def test_nothing_slow_is_imported_where_ctrl_c_would_show_a_traceback() -> None:
    code = "import sys, gearshift.__main__; sys.exit(any(name in sys.modules for name in ('numpy', 'typer')))"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == 0


def test_an_error_about_a_file_begins_with_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    call("train", "--run", tmp_path / "file", *QUICK, code=2)
    assert f"error: {tmp_path / 'file'}: File exists\n" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 100])
def test_damaged_checkpoints_are_named(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Empty, foreign or random files where a checkpoint should be."""
    call("train", "--run", tmp_path, *QUICK)
    (tmp_path / "best.safetensors").write_bytes(content)
    (tmp_path / "last.safetensors").write_bytes(content)
    call("evaluate", tmp_path, code=2)
    assert "best.safetensors" in capsys.readouterr().err
    call("train", "--run", tmp_path, "--resume", code=2)
    assert "last.safetensors" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names step, rate and layer; what was saved stays."""
    with np.errstate(all="ignore"):
        call("train", "--run", tmp_path, *QUICK, "--set", "optimizer.name=SGD", "--set", "optimizer.lr=1e30", code=1)
    error = capsys.readouterr().err
    assert "step" in error and "1e+30" in error and "layer" in error


def test_best_follows_the_monitor(tmp_path: Path) -> None:
    """`best.safetensors` is the epoch whose monitored measure is the best, the first of equals."""
    watch = ["--set", "train.monitor=validation_accuracy", "--set", "train.epochs=6"]
    call("train", "--run", tmp_path / "whole", *QUICK, *watch)
    accuracy = gs.Run(tmp_path / "whole").history["validation_accuracy"]
    best = accuracy.index(max(accuracy)) + 1
    call("train", "--run", tmp_path / "short", *QUICK, *watch, "--set", f"train.epochs={best}")
    last, kept = load_file(tmp_path / "short" / "last.safetensors"), load_file(tmp_path / "whole" / "best.safetensors")
    for name, tensor in kept.items():
        assert tensor.tobytes() == last[name].tobytes(), name


def test_a_mistake_leaves_the_directory_free(tmp_path: Path) -> None:
    """A run that never trained can be begun again, corrected."""
    call("train", "--run", tmp_path, *QUICK, "--set", "train.patience=1", "--set", "train.monitor=nothing", code=2)
    call("train", "--run", tmp_path, *QUICK)


def test_damaged_run_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Metrics are written anew from the checkpoint; a configuration that is no TOML is an error."""
    call("train", "--run", tmp_path, *QUICK)
    before = metrics(tmp_path)
    (tmp_path / "metrics.jsonl").write_bytes(b"\x00garbage\n")
    with pytest.raises(gs.DataError, match=r"metrics\.jsonl"):
        _ = gs.Run(tmp_path).history
    (tmp_path / "environment.json").write_text("{")
    with pytest.raises(gs.DataError, match=r"environment\.json is damaged"):
        _ = gs.Run(tmp_path).environment
    call("train", "--run", tmp_path, "--resume", "--quiet", "--backend", "numpy")
    assert metrics(tmp_path) == before
    assert gs.Run(tmp_path).environment["backend"] == "numpy"
    (tmp_path / "config.toml").write_text("= nonsense")
    call("evaluate", tmp_path, code=2)
    assert "config.toml" in capsys.readouterr().err


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    """Every backend with what it runs on, or what is missing."""
    call("doctor", "--json")
    statuses = json.loads(capsys.readouterr().out)
    assert statuses["numpy"]["runs"] and statuses["numpy"]["memory"][1] > 2**20
    assert statuses["cupy"]["runs"] or statuses["cupy"]["remedy"]
    call("doctor")
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("numpy", "numba", "cupy", "taken by default"))


def test_sample_holds_every_key_with_its_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`init` writes the defaults, once."""
    import tomllib

    path = tmp_path / "gearshift.toml"
    call("init", path)
    table = tomllib.loads(path.read_text())
    assert table == Configuration().model_dump()
    assert table == tomllib.loads(SAMPLE) == tomllib.loads(write(parse({})))
    call("init", path, code=2)
    assert "exists" in capsys.readouterr().err


def test_backend_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configuration, then environment, then the option."""
    small = ["--set", "train.epochs=1", "--set", "model.hidden=[4]", "--quiet", "--set", "backend.name=numpy"]
    monkeypatch.delenv("GEARSHIFT_BACKEND", raising=False)
    call("train", "--run", tmp_path / "a", *small)
    assert gs.Run(tmp_path / "a").environment["backend"] == "numpy"
    monkeypatch.setenv("GEARSHIFT_BACKEND", "numba")
    call("train", "--run", tmp_path / "b", *small)
    assert gs.Run(tmp_path / "b").environment["backend"] == "numba"
    call("train", "--run", tmp_path / "c", *small, "--backend", "numpy")
    assert gs.Run(tmp_path / "c").environment["backend"] == "numpy"


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_resume_to_the_same_bits(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """A signal ends the run at a batch boundary with a checkpoint; a second writer is refused meanwhile."""
    run, whole = tmp_path / "run", tmp_path / "whole"
    shape = ["--backend", "numpy", "--set", "model.hidden=[64]", "--set", "train.batch_size=4"]
    with process("train", "--run", run, *shape, "--set", "train.epochs=100000") as trained:
        wait_for(run / "last.safetensors")
        if number == signal.SIGINT:  # once is enough
            with process("train", "--run", run, "--resume", "--set", "train.epochs=100000") as second:
                assert second.wait(60) == 2
                assert str(trained.pid) in second.stderr.read()  # pyright: ignore[reportOptionalMemberAccess]
        trained.send_signal(number)
        time.sleep(0.02)
        trained.send_signal(number)  # people press twice
        assert trained.wait(60) == code
    epochs = len(gs.Run(run).history) + 1
    call("train", "--run", run, "--resume", "--set", f"train.epochs={epochs}", "--backend", "numpy", "--quiet")
    call("train", "--run", whole, *shape, "--set", f"train.epochs={epochs}", "--quiet")
    same_state(run / "last.safetensors", whole / "last.safetensors")
    assert metrics(run) == metrics(whole)


def wait_for(path: Path, seconds: float = 60) -> None:
    """Returns when the file is there."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.02)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a file-size limit that fails writes")
def test_full_disk_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    """A write that fails is one message and exit code 1, and the checkpoint before it still loads."""
    run = tmp_path / "run"
    call("train", "--run", run, *QUICK)
    before = (run / "last.safetensors").read_bytes()
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        "from gearshift.__main__ import main; main(sys.argv[1:])"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", script, "train", "--run", str(run), "--resume", "--set", "train.epochs=5"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "error: " in done.stderr and "Traceback" not in done.stderr and "safetensors" in done.stderr
    assert (run / "last.safetensors").read_bytes() == before


def test_a_loss_of_two_classes_is_evaluated_as_itself_with_precision_and_recall(tmp_path: Path, capsys) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 4))
    np.savez(tmp_path / "two.npz", x=x, y=(x.sum(axis=1) > 0.5).astype(int))
    given = ["--set", f"data.source={tmp_path / 'two.npz'}", "--set", "loss.name=BCEWithLogitsLoss"]
    given += ["--set", "train.class_weight=balanced", "--set", "train.loss_goal=0.5", "--set", "train.epochs=40"]
    call("train", *QUICK, *given, "--run", tmp_path / "run", "--json")
    trained = json.loads(capsys.readouterr().out)
    call("evaluate", tmp_path / "run", "--report", "--json")
    test = json.loads(capsys.readouterr().out)["test"]
    assert test.keys() == {"loss", "accuracy", "precision", "recall"}
    assert test["loss"] == pytest.approx(trained["test"]["loss"])
    assert trained["epochs"] < 40
    call("evaluate", tmp_path / "run", "--report")
    assert "class  precision  recall      f1  rows" in capsys.readouterr().out
    call("train", "--resume", "--run", tmp_path / "run", "--quiet", "--json")  # its loss is small enough already
    assert json.loads(capsys.readouterr().out)["epochs"] == trained["epochs"]


def test_a_loss_of_exactly_0_is_no_goal_that_was_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A hinge loss reaches it, and the run still goes on when it is resumed to more epochs."""
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(-50, 1, (40, 2)), random.normal(50, 1, (40, 2))])
    np.savez(tmp_path / "far.npz", x=x, y=np.repeat([0, 1], 40))
    hinge = ["--set", f"data.source={tmp_path / 'far.npz'}", "--set", "loss.name=HingeLoss", "--set", "model.hidden=[]"]
    hinge += ["--set", "train.batch_size=100"]
    call("train", "--run", tmp_path / "run", *QUICK, *hinge, "--set", "optimizer.lr=1.0", "--set", "train.epochs=20")
    assert gs.Run(tmp_path / "run").history[-1]["loss"] == 0
    call("train", "--run", tmp_path / "run", "--resume", "--set", "train.epochs=22", "--backend", "numpy")
    assert len(gs.Run(tmp_path / "run").history) == 22
    assert "train.batch_size is 100: all 56 rows are taken at once" in capsys.readouterr().err
