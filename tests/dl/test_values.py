"""Integers of users, and names in messages."""

from __future__ import annotations

import pytest

import gearshift as gs
from gearshift.dl.hints import hint
from gearshift.dl.values import is_count


@pytest.mark.parametrize("value", [True, False, 1.0, "1", None, 0, -1])
def test_what_is_no_count(value: object) -> None:
    assert not is_count(value)
    with pytest.raises(gs.ConfigurationError, match="length="):
        gs.load_dataset("python-source", length=value)  # pyright: ignore[reportArgumentType]
    with pytest.raises(gs.ConfigurationError):
        gs.Linear(value, 3)  # pyright: ignore[reportArgumentType]


def test_counts() -> None:
    assert is_count(1) and is_count(0, 0) and not is_count(1, 2)


def test_a_message_has_one_line() -> None:
    assert hint("z", ["a", "b\n"]) == "expected one of: a, 'b\\n'"


@pytest.mark.parametrize("layer", [gs.Add, gs.Concatenate])
def test_a_layer_of_two_inputs_that_gets_one(layer: type[gs.Layer]) -> None:
    model = gs.Sequential(gs.Linear(2, 2), layer())
    trainer = gs.Trainer(model, gs.MSELoss(), gs.SGD(), backend="numpy")
    with pytest.raises(gs.ShapeError, match=rf"layer 1: {layer.__name__} reads 2 inputs, but gets 1"):
        trainer.fit([[1.0, 2.0]], [[1.0, 2.0]], epochs=1, batch_size=1, verbose=False)
