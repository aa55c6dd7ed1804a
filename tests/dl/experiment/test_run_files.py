"""Nothing of a run is overwritten or lost by a second start, an edit, a damaged file or a picture."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import gearshift as gs
from gearshift.__main__ import main
from gearshift.dl.experiment import run_files as runs
from gearshift.dl.experiment.config import changes, parse
from gearshift.dl.experiment.run_writer import RunWriter
from gearshift.dl.experiment.sections import Configuration

QUICK = ["--set", "train.epochs=2", "--set", "model.hidden=[4]", "--backend", "numpy"]
RESUME = ["--resume", "--backend", "numpy", "--quiet"]


def call(*arguments: object, code: int = 0) -> None:
    """Runs a command in this process and checks its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, and its data, which tests copy."""
    folder = tmp_path_factory.mktemp("trained")
    x = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(folder / "rows.npz", x=x, y=(x[:, 0] > 0).astype(int))
    call("train", *QUICK, "--set", f"data.source={folder / 'rows.npz'}", "--run", folder / "run")
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained / "run", tmp_path / "run")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".lock")}


def error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a refused command says."""
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lr = 0.001", "lr = 0.5", ["optimizer.lr is 0.5 and was 0.001"]),
        ("batch_size = 32", "batch_size = 8", ["train.batch_size is 8 and was 32"]),
        ("dropout = 0.2", "dropout = 0.3", ["model.dropout is 0.3 and was 0.2"]),
    ],
)
def test_an_edited_configuration_is_refused(
    old: str, new: str, words: list[str], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is compared with what the checkpoint says, not with itself."""
    text = (run / "config.toml").read_text()
    assert old in text
    (run / "config.toml").write_text(text.replace(old, new))
    before = contents(run)
    call("train", "--run", run, *RESUME, "--set", "train.epochs=3", code=2)
    assert all(word in error(capsys) for word in words)
    assert contents(run) == before


def test_what_may_change_may_be_edited(run: Path) -> None:
    text = (run / "config.toml").read_text()
    edited = text.replace("epochs = 2\n", "epochs = 3\n").replace("every_seconds = 60.0", "every_seconds = 5.0")
    (run / "config.toml").write_text(edited)
    call("train", "--run", run, *RESUME)
    assert len(gs.Run(run).history) == 3
    (run / "config.toml").unlink()
    call("train", "--run", run, *RESUME, "--set", "train.epochs=4")
    assert gs.Run(run).config["checkpoint"]["every_seconds"] == 5, "the checkpoint knows the configuration, too"


def test_an_optimizer_with_other_settings_is_refused(tmp_path: Path) -> None:
    """The rate and the decay may change between steps; what the optimizer's states belong to may not."""

    def trainer(optimizer: gs.Optimizer) -> gs.Trainer:
        return gs.Trainer(gs.Linear(3, 2), gs.CrossEntropyLoss(), optimizer, backend="numpy")

    trainer(gs.Adam()).save(tmp_path / "adam")
    trainer(gs.Adam(lr=0.5, weight_decay=0.1)).load(tmp_path / "adam")
    for other in (gs.Adam(betas=(0.8, 0.999)), gs.Adam(eps=1e-6)):
        with pytest.raises(gs.CheckpointError, match=r"betas=\[0\.9, 0\.999\]|eps=1e-08"):
            trainer(other).load(tmp_path / "adam")


@pytest.mark.parametrize("options", [[], ["--resume"]])
def test_best_without_last_is_not_overwritten(
    options: list[str], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "last.safetensors").unlink()
    before = contents(run)
    call("train", "--run", run, *QUICK, *options, code=2)
    assert "lost its last.safetensors" in error(capsys)
    assert contents(run) == before
    if not options:
        (run / "best.safetensors").unlink()
        before.pop("best.safetensors")
        call("train", "--run", run, *QUICK, code=2)
        assert contents(run) == before, "metrics are worth something, too"


def test_the_first_epoch_survives_a_kill_between_its_files(trained: Path, tmp_path: Path) -> None:
    """A process killed after `last` and before `best` leaves a run whose next start adds the best weights."""
    source = ["--set", f"data.source={trained / 'rows.npz'}"]
    call("train", *QUICK, *source, "--set", "train.epochs=1", "--run", tmp_path / "run")
    best = (tmp_path / "run" / "best.safetensors").read_bytes()
    (tmp_path / "run" / "best.safetensors").unlink()
    call("train", "--run", tmp_path / "run", *RESUME)
    assert (tmp_path / "run" / "best.safetensors").read_bytes() == best


def test_a_damaged_last_leaves_the_best_of_use(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("evaluate", run, "--backend", "numpy", "--json")
    before = json.loads(capsys.readouterr().out)["test"]
    (run / "last.safetensors").write_bytes(b"damaged")
    call("evaluate", run, "--backend", "numpy", "--json")
    assert json.loads(capsys.readouterr().out)["test"] == before
    call("train", "--run", run, *RESUME, code=2)
    assert "last.safetensors" in error(capsys)


def test_class_names_that_no_checkpoint_can_hold_are_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{number:04d}-{'x' * 600}" for number in range(2000)]
    rows = "".join(f"{number % 7},{name}\n" for _ in range(3) for number, name in enumerate(names))
    (tmp_path / "names.csv").write_text("a,label\n" + rows)
    given = ["--set", f"data.source={tmp_path / 'names.csv'}", "--set", "data.validation=0", "--set", "data.test=0"]
    call("train", *QUICK, *given, "--run", tmp_path / "run", code=2)
    said = error(capsys)
    assert "header" in said and "1,048,576" in said
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_best_weights_count_before_training(tmp_path: Path) -> None:
    """A model whose checkpoint fits without the best weights of early stopping, and not with them."""
    layers = [gs.Linear(1, 1) for _ in range(2500)]
    trainer = gs.Trainer(gs.Sequential(*layers), gs.MSELoss(), gs.SGD(), backend="numpy")
    RunWriter(tmp_path / "a", 60, "loss")
    with RunWriter(tmp_path / "a", 60, "loss").opened() as writer:
        writer.begin("", trainer, resume=False)
    with (
        RunWriter(tmp_path / "b", 60, "loss").opened() as writer,
        pytest.raises(gs.CheckpointError, match=r"header|tensors"),
    ):
        writer.begin("", trainer, resume=False, patience=True)


def test_a_picture_that_cannot_be_drawn_costs_no_result(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run" / "learning-curve.png").mkdir(parents=True)  # so that no file can take its place
    source = ["--set", f"data.source={trained / 'rows.npz'}"]
    call("train", *QUICK, *source, "--run", tmp_path / "run", "--json")
    shown = capsys.readouterr()
    assert "no learning curve: " in shown.err and set(json.loads(shown.out)["test"]) == {"loss", "accuracy"}


def test_an_autoencoder_whose_pictures_cannot_be_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("learning-curve.png", "reconstructions.png", "codes.png"):
        (tmp_path / "run" / name).mkdir(parents=True)
    kind = ["--set", "autoencoder.kind=undercomplete", "--set", "train.epochs=1"]
    call("train", *QUICK, *kind, "--run", tmp_path / "run", "--json")
    shown = capsys.readouterr()
    assert "no pictures: " in shown.err and json.loads(shown.out)["epochs"] == 1


@pytest.mark.parametrize("rename", [False, True])
def test_a_directory_that_moves_away_ends_the_training(rename: bool, tmp_path: Path) -> None:
    """It is said, and no second half of a run begins where the directory was."""
    trainer = gs.Trainer(gs.Linear(1, 1), gs.MSELoss(), gs.SGD(), backend="numpy")
    writer = RunWriter(tmp_path / "run", 60, "loss")
    with writer.opened():
        writer.begin("", trainer, resume=False)
        x = np.ones((4, 1), np.float32)
        trainer.fit(x, x, epochs=1, callbacks=[writer], verbose=False)
        kept = contents(tmp_path / "run")
        if rename:
            (tmp_path / "run").rename(tmp_path / "elsewhere")
            (tmp_path / "run").mkdir()
        else:
            shutil.rmtree(tmp_path / "run")
        with pytest.raises(gs.GearshiftError, match="renamed or deleted while it was written to"):
            trainer.fit(x, x, epochs=1, callbacks=[writer], verbose=False)
    if rename:
        assert contents(tmp_path / "elsewhere") == kept and not contents(tmp_path / "run")
    else:
        assert not (tmp_path / "run").exists()


def test_runs_that_start_in_one_second_get_directories_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs.time, "strftime", lambda text: "20260101-000000")
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(runs.fresh(tmp_path / "runs"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20 and all(path.is_dir() for path in made)
    assert tmp_path / "runs" / "20260101-000000" in made and tmp_path / "runs" / "20260101-000000-20" in made


def test_an_empty_name_is_no_directory(capsys: pytest.CaptureFixture[str]) -> None:
    call("train", *QUICK, "--run", "", code=2)
    assert "--run is ''" in capsys.readouterr().err


@pytest.mark.parametrize(
    "setting",
    [
        "optimizer.lr=0",
        "optimizer.lr=inf",
        "optimizer.eps=true",
        "optimizer.eps=nan",
        "optimizer.betas=[true, 0.9]",
        f"schedule.warmup=1{'0' * 400}",
        f"schedule.hold=1{'0' * 400}",
        "train.accumulate=33",
        "model.inputs={a = 64}",
        "data.validation=nan",
        "train.loss_goal=inf",
    ],
)
def test_what_cannot_be_meant_is_refused(setting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("train", *QUICK, "--set", setting, "--run", tmp_path / "run", code=2)
    assert setting.partition("=")[0].split(".")[1] in error(capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["x" * 300, "loop/run"])
def test_a_path_that_cannot_be_is_the_users_mistake(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    call("train", *QUICK, "--run", tmp_path / name, code=2)
    assert name in error(capsys)


def test_a_run_is_asked_on_its_own_backend(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gearshift.dl.commands.evaluate import predictor

    monkeypatch.delenv("GEARSHIFT_BACKEND", raising=False)
    own = ["--set", "backend.name=numpy", "--set", "train.epochs=1", "--set", "model.hidden=[4]", "--quiet"]
    call("train", *own, "--set", f"data.source={trained / 'rows.npz'}", "--run", tmp_path / "run")
    assert predictor(tmp_path / "run", None).backend.name == "numpy"
    assert predictor(tmp_path / "run", "auto").backend.name == "numpy"
    assert predictor(tmp_path / "run", "numba").backend.name == "numba"
    monkeypatch.setenv("GEARSHIFT_BACKEND", "numba")
    assert predictor(tmp_path / "run", None).backend.name == "numba"


def test_what_is_printed_can_be_typed(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`lr` names a training of the same data, model and backend; that names its evaluation and prediction."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(trained / "rows.npz", "my rows.npz")
    Path("mine file.toml").write_text("[train]\nseed = 7\n")
    given = ["--set", "data.source=my rows.npz", "--set", "model.hidden=[5]", "--set", "optimizer.lr=3"]
    call("lr", "mine file.toml", *given, "--backend", "numpy", "--iterations", 100, "--rates", "0.1,0.2")

    def typed() -> list[list[str]]:
        said = capsys.readouterr().err
        return [shlex.split(line.removeprefix("next: gearshift ")) for line in re.findall("next: .*", said)]

    (train,) = typed()
    assert train[-2:] == ["--backend", "numpy"] and "optimizer.lr=3" not in train
    call(*train, "--set", "train.epochs=1", "--run", "a run")
    config = gs.Run("a run").config
    assert config["model"]["hidden"] == [5] and config["train"]["seed"] == 7
    assert config["optimizer"]["lr"] in (0.1, 0.2)
    assert config["data"]["source"] == str(tmp_path / "my rows.npz")
    evaluate, predict = typed()
    call(*evaluate)
    call(*predict)
    assert len(Path("answers.csv").read_text().splitlines()) == 61


def test_the_line_that_resumes_can_be_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the backend that was chosen."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    options = ["train", "--backend", "numpy", "--set", "train.epochs=100000", "--set", "model.hidden=[4]"]
    with subprocess.Popen(
        [sys.executable, "-m", "gearshift", *options, "--run", "my run"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
    ) as child:  # fmt: skip
        assert child.stderr is not None
        while not child.stderr.readline().startswith("epoch 2/"):
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        (line,) = re.findall("go on with: gearshift (.*)", child.stderr.read())
    assert child.returncode == 130
    words = shlex.split(line)
    assert words == ["train", "--resume", "--run", "my run", "--backend", "numpy"]
    words[3] = str(tmp_path / "my run")
    epochs = len(gs.Run(tmp_path / "my run").history) + 1
    call(*words, "--set", f"train.epochs={epochs}", "--quiet")
    assert len(gs.Run(tmp_path / "my run").history) == epochs


def test_a_configuration_as_settings_makes_the_same_configuration() -> None:
    table = {
        "data": {"source": "/a b/c'd.csv", "target": ["x", "true"], "validation": 0.25},
        "model": {"hidden": [], "init": "he", "layers": [{"kind": "Linear", "out_features": 3, "bias": False}]},
        "optimizer": {"name": "SGD", "lr": 1e-7, "momentum": 0.9, "groups": [{"names": 'a"b', "lr": 0.5}]},
        "train": {"class_weight": [1.0, 2.5], "monitor": "true", "seed": 4},
        "loss": {"heads": {"price €": {"loss": "MSELoss", "outputs": 2}}},
    }
    whole = parse(table)
    assert parse({}, changes(whole)) == whole
    assert changes(Configuration()) == []
    assert "train.seed=4" in changes(whole) and "model.hidden=[]" in changes(whole)
