"""Mistakes in the arguments of `fit`: one error at once, which names the thing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gearshift as gs

RANDOM = np.random.default_rng(0)
DATA = gs.Dataset(RANDOM.normal(size=(40, 3)), RANDOM.integers(0, 2, 40))


def trainer(**options: Any) -> gs.Trainer:
    return gs.Trainer(gs.Sequential(gs.Linear(3, 2)), gs.CrossEntropyLoss(), gs.SGD(0.1), backend="numpy", **options)


def loss(y: Any, predictions: Any) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"metrics": [loss], "validation": DATA}, "metrics has 'loss', which is measured anyway"),
        ({"monitor": "val_loss", "validation": DATA}, "monitor is 'val_loss'"),
        ({"callbacks": [gs.Callback]}, "callbacks has .*Callback.*; expected a gearshift Callback object"),
        ({"callbacks": [lambda *a: None]}, "callbacks has .*; expected a gearshift Callback object"),
    ],
)
def test_arguments(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(gs.ConfigurationError, match=words):
        trainer().fit(DATA, epochs=1, batch_size=8, verbose=False, **arguments)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (lambda step: 1 - step / 4, r"the schedule returned -0.25 at step 5; expected a number of at least 0"),
        (lambda step: [1.0, 0.5, 0.2][step], "the schedule fails at step 3: IndexError"),
        (lambda step: 1.0 if step < 7 else float("nan"), "the schedule returned nan at step 7"),
    ],
)
def test_a_schedule_that_fails_later(schedule: Any, words: str) -> None:
    run = trainer(schedule=schedule)
    with pytest.raises(gs.ConfigurationError, match=words):
        run.fit(DATA, epochs=4, batch_size=8, verbose=False)


def test_a_schedule_of_as_many_steps_as_are_taken() -> None:
    factors = [1.0, 0.9, 0.8, 0.7, 0.6]
    run = trainer(schedule=lambda step: factors[step])
    run.fit(DATA, epochs=1, batch_size=8, verbose=False)
    assert run.history["lr"] == pytest.approx([0.06])
