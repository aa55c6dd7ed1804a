"""A mapped file that changes while it is trained on: named where it was written to, no matter where it was replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs

X = np.random.default_rng(0).standard_normal((40, 3))
Y = np.arange(40) % 2


class AfterTwo(gs.Callback):
    def __init__(self, change: Callable[[], object]) -> None:
        self.change = change

    def on_epoch_end(self, trainer: gs.Trainer, record: dict[str, float]) -> None:
        if trainer.epoch == 2:
            self.change()


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(200)


def rewritten(path: Path) -> None:
    np.save(path, X + 1)


def replaced(path: Path) -> None:
    np.save(path.with_name("new.npy"), X + 1)
    path.with_name("new.npy").replace(path)


def trained(folder: Path, backend: str, change: Callable[[Path], object] | None, part: str = "x") -> gs.Trainer:
    for name, array in (("x", X), ("y", Y), ("x_validation", X[:8]), ("y_validation", Y[:8])):
        np.save(folder / f"{name}.npy", array)
    splits = gs.load_dataset(folder, test=0)
    trainer = gs.Trainer(gs.Sequential(gs.Linear(3, 2)), gs.CrossEntropyLoss(), gs.SGD(0.1), backend=backend)
    file = folder / f"{part}.npy"
    callbacks: list[Any] = [AfterTwo(lambda: change(file))] if change else []
    trainer.fit(splits.train, validation=splits.validation, epochs=4, verbose=False, callbacks=callbacks)
    return trainer


@pytest.mark.parametrize("change", [cut, rewritten])
@pytest.mark.parametrize("part", ["x", "x_validation"])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_file_that_is_written_to(backend: str, part: str, change: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(gs.DataError, match=rf"{part}\.npy was written to while it was trained on"):
        trained(tmp_path, backend, change, part)


@pytest.mark.parametrize("change", [replaced, Path.unlink])
def test_a_file_that_is_replaced_or_deleted(change: Callable[[Path], object], tmp_path: Path) -> None:
    weights = trained(tmp_path, "numpy", None).model.state_dict()
    again = trained(tmp_path, "numpy", change)
    assert again.epoch == 4
    for name, value in again.model.state_dict().items():
        assert value.tobytes() == weights[name].tobytes()
