"""What values that users give may be: the arguments of constructors, and all that a file may hold."""

from __future__ import annotations

import math
import re
import reprlib
import sys
from datetime import date, time
from typing import Any

from ..backends.errors import ConfigurationError

DEEPEST = 50  # tables and lists in each other
SURROGATE = re.compile("[\ud800-\udfff]")  # half of a character, which no file can hold

_shown = reprlib.Repr()  # long values are cut short in messages
_shown.maxstring = 100


def is_count(value: Any, least: int = 1) -> bool:
    """Whether a value is an integer of at least `least`. A bool is none, though Python counts it as an integer."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def require_count(owner: Any, least: int = 1, **values: Any) -> None:
    """Raise ConfigurationError unless each value is an integer of at least `least`.

    `owner` is the object that the values are arguments of, or its name; the values are passed by their own names.
    """
    for name, value in values.items():
        if not is_count(value, least):
            raise ConfigurationError(f"{_name(owner)}: {name} is {value!r}; expected an integer of at least {least}")


def require_number(
    owner: Any,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
    at_most: float = math.inf,
    **values: Any,
) -> None:
    """Raise ConfigurationError unless each value is a finite number within the bounds; see `require_count`."""
    bounds = {"above": above, "of at least": at_least, "below": below, "of at most": at_most}
    for name, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
        if not number or not (above < value < below and at_least <= value <= at_most):
            ends = " and ".join(f"{words} {bound}" for words, bound in bounds.items() if math.isfinite(bound))
            raise ConfigurationError(
                f"{_name(owner)}: {name} is {value!r}; expected a finite number{f' {ends}' if ends else ''}"
            )


def _name(owner: Any) -> str:
    return owner if isinstance(owner, str) else type(owner).__name__


def check_values(key: str, value: Any, *, finite: bool = True, most: int = 2**63, depth: int = 0) -> None:
    """Check a value, and all values in it, before anything asks what they mean.

    Parameters
    ----------
    key : the value's name, for messages.
    value : as TOML and JSON have them.
    finite : whether numbers must be finite.
    most : integers must be less than this.

    Raises
    ------
    ConfigurationError
        Values are nested more than 50 deep, an integer is too large or less than -2**63, text has a NUL or half of
        a character, a number is not finite, or there is a date.
    """
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if inner and depth == DEEPEST:
        raise ConfigurationError(f"{_shown.repr(key)} is nested more than {DEEPEST} deep")
    for name, item in inner:
        if not isinstance(name, int):
            check_values("the name of a key", name)
        check_values(f"{key}.{name}" if key else str(name), item, finite=finite, most=most, depth=depth + 1)
    if isinstance(value, str) and ("\0" in value or SURROGATE.search(value)):
        raise ConfigurationError(f"{key} is {_shown.repr(value)}; expected text without NUL and halves of characters")
    if isinstance(value, int) and not -(2**63) <= value < most:
        limit = f"expected -2**63 or more, and less than 2**{most.bit_length() - 1}"
        raise ConfigurationError(f"{key} is an integer of {value.bit_length()} bits; {limit}")
    if finite and isinstance(value, float) and not math.isfinite(value):
        raise ConfigurationError(f"{key} is {value}; expected a finite number")
    if isinstance(value, date | time):
        raise ConfigurationError(f"{key} is the date or time {value}; put text in quotes")
