"""What a run directory holds while checkpoints are further apart than epochs."""

from __future__ import annotations

import math
import shutil
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

import gearshift as gs
from gearshift.dl.experiment import run_writer as run_module
from gearshift.dl.experiment.run_files import BEST, LAST, METRICS
from gearshift.dl.experiment.run_writer import RunWriter

EPOCHS = 100
RANDOM = np.random.default_rng(4)
X, Y = RANDOM.normal(size=(12, 3)), RANDOM.integers(0, 2, 12)
V, W = RANDOM.normal(size=(12, 3)), RANDOM.integers(0, 2, 12)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes at each look: an epoch takes one, and so does a checkpoint, of which one in 20 epochs is due."""
    monkeypatch.setattr(run_module, "time", SimpleNamespace(monotonic=count().__next__))


class Looks(gs.Callback):
    """Notes each checkpoint, and copies the directory at an epoch, as a kill would leave it."""

    def __init__(self, path: Path, kill: int = 0) -> None:
        self.path, self.kill, self.files, self.weights = path, kill, [], []

    def on_epoch_end(self, trainer: gs.Trainer, record: dict[str, float]) -> None:
        self.files.append((self.path / LAST).stat().st_ino)
        self.weights.append(trainer.model.state_dict())
        if trainer.epoch == self.kill:
            shutil.copytree(self.path, self.path.with_name("killed"))


def trainer() -> gs.Trainer:
    return gs.Trainer(gs.Sequential(gs.Linear(3, 2)), gs.CrossEntropyLoss(), gs.SGD(lr=2.0), backend="numpy")


def train(path: Path, callbacks: tuple[gs.Callback, ...] = (), resume: bool = False) -> gs.Trainer:
    made, writer = trainer(), RunWriter(path, 1e9)
    with writer.opened():
        writer.begin("", made, resume=resume)
        epochs = EPOCHS - made.epoch
        made.fit(X, Y, validation=(V, W), epochs=epochs, batch_size=4, callbacks=[writer, *callbacks], verbose=False)
    return made


def told(path: Path) -> list[tuple[float, float, float]]:
    return [(r["epoch"], r["loss"], r["validation_loss"]) for r in gs.Run(path).history]


def test_checkpoints_take_a_share_of_the_time_and_the_last_holds_everything(tmp_path: Path) -> None:
    looks = Looks(tmp_path / "run")
    made = train(tmp_path / "run", (looks,))
    checkpoints = 1 + sum(a != b for a, b in zip(looks.files, looks.files[1:], strict=False))
    assert 4 <= checkpoints <= 8
    assert len((tmp_path / "run" / METRICS).read_text().splitlines()) == EPOCHS
    again = trainer()
    again.load(tmp_path / "run" / LAST)
    assert (again.epoch, len(again.history)) == (EPOCHS, EPOCHS)
    best = int(np.argmin(made.history["validation_loss"]))
    for name, value in load_file(tmp_path / "run" / BEST).items():
        np.testing.assert_array_equal(value, looks.weights[best][name.removeprefix("model.")])


def test_a_run_killed_between_checkpoints_resumes_to_the_same_files(tmp_path: Path) -> None:
    train(tmp_path / "run", (Looks(tmp_path / "run", kill=67),))
    killed = tmp_path / "killed"
    before = trainer()
    before.load(killed / LAST)
    assert before.epoch < 67 == len(told(killed))
    train(killed, resume=True)
    assert told(killed) == told(tmp_path / "run")
    for name in (BEST, LAST):
        mine, other = load_file(killed / name), load_file(tmp_path / "run" / name)
        assert {k for k in mine if k != "history" and not np.array_equal(mine[k], other[k])} == set()


def test_a_run_that_an_error_ends_keeps_every_finished_epoch(tmp_path: Path) -> None:
    class Fails(gs.Callback):
        def on_epoch_end(self, trained: gs.Trainer, record: dict[str, float]) -> None:
            if trained.epoch == 67:
                raise OSError("no")

    with pytest.raises(OSError, match="no"):
        train(tmp_path / "run", (Fails(),))
    again = trainer()
    again.load(tmp_path / "run" / LAST)
    assert again.epoch == len(again.history) == 67


def test_the_best_epoch_is_never_one_of_nan(tmp_path: Path) -> None:
    """After a NaN in the first epoch any number is better; NaN is not better than a number."""
    writer = RunWriter(tmp_path, 1e9, "loss")
    records: list[dict[str, float]] = []
    found = []
    for value in (np.nan, 3.0, np.nan, 3.0, 2.0, 2.5, 1.0):
        records.append({"loss": value})
        found.append(writer._improved(gs.History(records), records[-1]))
    assert found == [True, True, False, False, True, False, True]
    resumed = RunWriter(tmp_path, 1e9, "loss")
    records.append({"loss": 1.5})
    assert not resumed._improved(gs.History(records), records[-1])


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
