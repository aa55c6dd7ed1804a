"""What users name is opened only where it is a regular file of a size that can be meant, by every reader alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import UserError
from gearshift.bench.batch import files
from gearshift.bench.peers import results
from gearshift.dl.data.csv import read_csv
from gearshift.dl.data.idx import read_idx
from gearshift.dl.data.npy import read_npy, read_npz
from gearshift.dl.data.text import read_text
from gearshift.dl.experiment import build as experiment
from gearshift.dl.experiment.config import parse, read
from gearshift.dl.optimizers.newton import NewtonCG

READERS: dict[str, Callable[[Path], Any]] = {
    "configuration": read,
    "csv": read_csv,
    "txt": lambda path: read_text(str(path), 5),
    "npz": read_npz,
    "npy": read_npy,
    "mapped": lambda path: read_npy(path, mmap=True),
    "idx": read_idx,
    "checkpoint": gs.load,
    "bench": files.read,
    "peers": results.read,
}


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42)


@pytest.mark.skipif(sys.platform != "linux", reason="devices and sparse files as Linux has them")
@pytest.mark.parametrize("made", [pipe, device, folder, loop, sparse])
@pytest.mark.parametrize("reader", READERS)
def test_no_file_that_could_be_meant(reader: str, made: Callable[[Path], None], tmp_path: Path) -> None:
    """Refused at once: a pipe is not waited for, and no memory is taken for what is not there."""
    made(tmp_path / "file")
    with pytest.raises((UserError, OSError)) as caught:
        READERS[reader](tmp_path / "file")
    assert str(tmp_path / "file") in str(caught.value)
    assert not isinstance(caught.value, MemoryError)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.seed=" + "9" * 5000, "train.seed is .* cannot be read"),
        ("train.seed=" + "[" * 500, "train.seed is "),  # too deep to parse, or text, by the limit of recursion
        ("data.target=" + "[" * 60 + "]" * 60, "nested more than 50 deep"),
        ("optimizer.name=[]", r"optimizer.name is \[\]"),
        ("optimizer.name={a=1}", "optimizer.name is"),
        ("model.hidden=[100000000000000000000]", "model.hidden.0 is an integer of 67 bits"),
        ("model.hidden=[9223372036854775807]", "model.hidden.0 is 9223372036854775807"),
        ("autoencoder.code=18446744073709551616", "autoencoder.code is an integer of 65 bits"),
        ("optimizer.weight_decay=1" + "0" * 400, "optimizer.weight_decay is an integer"),
        ("schedule.warmup=1" + "0" * 400, "schedule.warmup is an integer"),
        ("optimizer.lr=nan", "optimizer.lr is nan; expected a finite number"),
        ("optimizer.eps=true", "eps is True; expected a finite number"),
        ("data.source='a\0b'", "data.source is .*; expected text without NUL"),
        ("backend.name=\udcff", "backend.name is .*; expected text"),
        ("backend.name=x", "backend 'x' is not known"),
        ("backend.name=''", "backend.name is ''"),
        ("optimizer.beta=1979-05-27", "optimizer.beta is the date or time"),
        ("data.source='~nosuch/x.csv'", "x.csv.*no such file"),
    ],
)
def test_values_that_nobody_can_mean(setting: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the environment chooses the backend."""
    monkeypatch.setenv("GEARSHIFT_BACKEND", "numpy")
    with pytest.raises((gs.ConfigurationError, gs.DataError), match=words):
        experiment.build(parse({}, [setting]))


def test_numbers_whose_square_overflows() -> None:
    """A residual of 1e308 of the gradient is always reached: no product is asked for, and the step is none."""
    g = np.array([1.0, 2.0])
    assert NewtonCG(tol=1e308).direction(g, lambda v: v).tolist() == [0.0, 0.0]
    with pytest.raises(gs.ConfigurationError, match="lr is 1000"):
        gs.SGD(10**400)


@pytest.mark.parametrize("arguments", [{"target": 5}, {"weight": 5}, {"target": [None]}, {"source": 5}, {"folder": 5}])
def test_names_that_are_none(arguments: dict[str, Any]) -> None:
    with pytest.raises(gs.ConfigurationError, match=next(iter(arguments))):
        gs.load_dataset(**{"source": "x.csv", **arguments})


@pytest.mark.parametrize("last", [2**63, 2**64 - 1])
def test_labels_beyond_64_signed_bits(last: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 2)), y=np.array([1, 2, last, 1], np.uint64))
    with pytest.raises(gs.DataError, match=rf"y holds the label {last}, expected labels from -2⁶³ to 2⁶³ - 1"):
        gs.load_dataset(tmp_path / "a.npz")


def test_a_history_without_the_measure_that_is_watched(tmp_path: Path) -> None:
    """Said before anything is trained."""
    from gearshift.dl.experiment.run_files import LAST
    from gearshift.dl.experiment.run_writer import RunWriter

    x, y = np.zeros((6, 2)), np.arange(6) % 2
    trainer = gs.Trainer(gs.Sequential(gs.Linear(2, 2)), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    trainer.fit(x, y, epochs=1, verbose=False)
    trainer.fit(x, y, epochs=1, validation=(x, y), verbose=False)
    trainer.save(tmp_path / LAST)
    with pytest.raises(gs.CheckpointError, match="without 'validation_loss'"):
        RunWriter(tmp_path, 60).begin("", trainer, resume=True)


def test_layers_nested_too_deeply_are_refused_both_ways(tmp_path: Path) -> None:
    model = gs.Sequential(gs.Linear(2, 2))
    for _ in range(60):
        model = gs.Sequential(model)
    with pytest.raises(gs.ConfigurationError, match="nested more than 50 deep"):
        model.save(tmp_path / "model")


def test_fewer_names_than_classes(tmp_path: Path) -> None:
    model = gs.Sequential(gs.Linear(2, 3))
    model.classes = ["a", "b"]
    inference = gs.Inference(model, backend="numpy")
    with pytest.raises(gs.CheckpointError, match="answers with class 2, but only 2 have names"):
        inference.named(np.array([0, 2]))
    assert inference.named(np.array([1, 0])).tolist() == ["b", "a"]


def test_widths_that_are_no_numbers() -> None:
    with pytest.raises(gs.ConfigurationError, match="out_features is True; expected an integer"):
        gs.Linear(3, True)
    with pytest.raises(gs.ConfigurationError, match="larger than any memory"):
        gs.Linear(2**31, 2**31)
