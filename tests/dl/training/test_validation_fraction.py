"""`fit(validation=0.2)`: a fraction of the rows is set aside, as scikit-learn splits them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

import gearshift as gs

RANDOM = np.random.default_rng(0)
X, LABELS = RANDOM.normal(size=(100, 3)), np.repeat([0, 0, 0, 1], 25)
Y = X.sum(axis=1)


def trained(y: Any, validation: Any, loss: gs.Loss, outputs: int = 1, x: Any = X) -> Any:
    """The history of three epochs, and the weights."""
    model = gs.Sequential(gs.Linear(3, outputs), dtype="float64")
    trainer = gs.Trainer(model, loss, gs.SGD(lr=0.1), backend="numpy", seed=7)
    history = trainer.fit(x, y, validation=validation, epochs=3, verbose=False)
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history], model.state_dict(), trainer.samples


def check(y: Any, loss: gs.Loss, outputs: int, stratify: Any) -> None:
    rows, held = train_test_split(np.arange(100), test_size=20, random_state=7, stratify=stratify)
    rows, held = np.sort(rows), np.sort(held)
    model = gs.Sequential(gs.Linear(3, outputs), dtype="float64")
    trainer = gs.Trainer(model, loss, gs.SGD(lr=0.1), backend="numpy", seed=7)
    trainer.fit(X[rows], y[rows], validation=(X[held], y[held]), epochs=3, verbose=False)
    history, weights, samples = trained(y, 0.2, loss, outputs)
    assert samples == 80
    assert [row["validation_loss"] for row in history] == [row["validation_loss"] for row in trainer.history]
    assert all(np.array_equal(weights[name], value) for name, value in model.state_dict().items())


def test_of_classes_it_is_stratified() -> None:
    check(LABELS, gs.CrossEntropyLoss(), 2, LABELS)


def test_of_values_it_is_random() -> None:
    check(Y, gs.MSELoss(), 1, None)
    check(LABELS, gs.MSELoss(), 1, None)


def test_of_signed_labels_and_sample_weights() -> None:
    assert trained(2 * LABELS - 1, 0.25, gs.HingeLoss())[2] == 75
    model = gs.Sequential(gs.Linear(3, 1))
    trainer = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=0.1), backend="numpy")
    trainer.fit((X, Y, np.arange(1.0, 101)), validation=0.1, class_weight=None, epochs=1, verbose=False)
    assert trainer.samples == 90 and trainer.memory((X, Y), validation=0.1)


def test_of_memory_maps_it_is_the_last_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    ours = trained(Y, 0.2, gs.MSELoss(), x=mapped)
    model = gs.Sequential(gs.Linear(3, 1), dtype="float64")
    trainer = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=0.1), backend="numpy", seed=7)
    trainer.fit(X[:80], Y[:80], validation=(X[80:], Y[80:]), epochs=3, verbose=False)
    assert ours[0][-1]["validation_loss"] == trainer.history[-1]["validation_loss"]


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (0, "validation is 0; expected a fraction of the rows above 0 and below 1, such as 0.2, a Dataset, or"),
        (1.0, "validation is 1.0; expected a fraction"),
        (-0.2, "validation is -0.2; expected a fraction"),
        (np.nan, "validation is nan; expected a fraction"),
        (True, "validation is True; expected a fraction"),
    ],
)
def test_what_is_no_fraction(validation: Any, message: str) -> None:
    with pytest.raises(gs.ConfigurationError, match=message):
        trained(Y, validation, gs.MSELoss())


def test_batches_have_no_part_to_set_aside() -> None:
    trainer = gs.Trainer(gs.Sequential(gs.Linear(3, 1)), gs.MSELoss(), gs.SGD(lr=0.1), backend="numpy")
    with pytest.raises(gs.ConfigurationError, match=r"validation is 0\.2, and of Batches no part can be set aside"):
        trainer.fit(gs.Batches(lambda: [(X, Y)], per_epoch=1), validation=0.2, verbose=False)
