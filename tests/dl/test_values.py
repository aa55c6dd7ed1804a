"""Integers of users, and names in messages."""

from __future__ import annotations

import pytest

import gearshift as gs
from gearshift.dl.hints import hint
from gearshift.dl.values import is_count, require_number


@pytest.mark.parametrize("value", [True, False, 1.0, "1", None, 0, -1])
def test_what_is_no_count(value: object) -> None:
    assert not is_count(value)
    with pytest.raises(gs.ConfigurationError, match="length="):
        gs.load_dataset("python-source", length=value)  # pyright: ignore[reportArgumentType]
    with pytest.raises(gs.ConfigurationError):
        gs.Linear(value, 3)  # pyright: ignore[reportArgumentType]


def test_counts() -> None:
    assert is_count(1) and is_count(0, 0) and not is_count(1, 2)


@pytest.mark.parametrize("value", [True, "1", None, 0, -0.5, 1.5, float("nan"), float("inf"), -float("inf"), 10**400])
def test_numbers_out_of_bounds(value: object) -> None:
    """Bools, infinities, NaN and integers that no float can hold are no numbers; the message has the bounds."""
    with pytest.raises(gs.ConfigurationError, match=r"Thing: rate is .*; expected a finite number above 0 and of at"):
        require_number("Thing", rate=value, above=0, at_most=1)


def test_numbers_in_bounds() -> None:
    require_number("Thing", a=1, b=0.5, above=0, at_most=1)
    require_number("Thing", a=0, b=0.5, at_least=0, below=1)
    with pytest.raises(gs.ConfigurationError, match=r"b is 1; expected a finite number of at least 0 and below 1"):
        require_number("Thing", a=0, b=1, at_least=0, below=1)


def test_a_message_has_one_line() -> None:
    assert hint("z", ["a", "b\n"]) == "expected one of: a, 'b\\n'"


@pytest.mark.parametrize("layer", [gs.Add, gs.Concatenate])
def test_a_layer_of_two_inputs_that_gets_one(layer: type[gs.Layer]) -> None:
    model = gs.Sequential(gs.Linear(2, 2), layer())
    trainer = gs.Trainer(model, gs.MSELoss(), gs.SGD(), backend="numpy")
    with pytest.raises(gs.ShapeError, match=rf"layer 1: {layer.__name__} reads 2 inputs, but gets 1"):
        trainer.fit([[1.0, 2.0]], [[1.0, 2.0]], epochs=1, batch_size=1, verbose=False)
