"""Matches data to the column and class names that a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backends.errors import DataError
from .arrays import plain
from .dataset import Dataset


def matched(
    data: Dataset, feature_names: Sequence[str] | None = None, classes: Sequence[int | str] | None = None
) -> Dataset:
    """The data with columns and labels in the order of these names; unnamed data are returned unchanged.

    Parameters
    ----------
    feature_names : required column names; None for any.
    classes : required names of the labels 0, 1, …; None for any.

    Raises
    ------
    DataError
        The data have different names.
    """
    if feature_names is not None and data.feature_names is not None and data.feature_names != [*feature_names]:
        data = _ordered(data, [*feature_names])
    if classes is not None and data.classes is not None and data.classes != [*classes]:
        data = _labelled(data, [*classes])
    return data


def _ordered(data: Dataset, wanted: list[str]) -> Dataset:
    found = data.feature_names or []
    if {*found} != {*wanted}:
        missing, unknown = [n for n in wanted if n not in {*found}], [n for n in found if n not in {*wanted}]
        raise DataError(
            f"x: {differences(missing, unknown)}; the model was trained on {shown(wanted)}, expected these columns in "
            "any order (x.to_numpy() gives columns without names, in their order)"
        )
    places = {name: place for place, name in enumerate(found)}
    other = data[:]
    x = data.x
    if isinstance(x, np.memmap):
        x = np.asarray(x)  # the copy is not a memory map
    other.x = plain("x", x.take([places[name] for name in wanted], axis=1), x.dtype)
    other.feature_names = wanted
    return other


def _labelled(data: Dataset, wanted: list[int | str]) -> Dataset:
    found = data.classes or []
    if {*found} != {*wanted}:
        raise DataError(
            f"y: the classes of the data are {shown(found)}, and the model was trained on {shown(wanted)}; "
            "expected the same classes"
        )
    other = data[:]
    other.y = np.array([wanted.index(name) for name in found])[data.on_host("y")]
    other.classes = wanted
    return other


def differences(missing: Sequence[str], unknown: Sequence[str] = ()) -> str:
    """Which columns are missing, and which are unknown."""
    return " and ".join(
        f"the column{'s' * (len(names) > 1)} {shown(names)} {'is' if len(names) == 1 else 'are'} {what}"
        for names, what in ((missing, "missing"), (unknown, "unknown"))
        if names
    )


def shown(names: Sequence[Any]) -> str:
    """Names for a message, the first ten of many."""
    text = ", ".join(map(repr, names[:10]))
    return text if len(names) <= 10 else f"{text}, … ({len(names)} in all)"
