"""Indices of arrays of a traced function: slices, integers, None, … and one list of integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import structure
from .expression import Expression
from .refusal import refuse, refuse_shape
from .traced_array import TracedArray

TRACED_INDEX = (
    "an index that is an array of the formula; indices are known in advance. The number of each row's label is "
    "gs.xp.where(gs.xp.arange(n) == label[:, None], x, 0.0).sum(axis=-1)"
)


def known_indices(indices: Any) -> tuple[int, ...]:
    """Indices as integers.

    Raises
    ------
    ConfigurationError
        They are an array of the formula.
    """
    if isinstance(indices, Expression | TracedArray):
        refuse(TRACED_INDEX)
    return tuple(int(one) for one in np.asarray(indices).reshape(-1))


def getitem_of(x: Expression, key: tuple[Any, ...]) -> Expression:
    """x[key]: slices, integers, None, … and one list of integers; all rows."""
    if any(isinstance(one, Expression | TracedArray) for one in key):
        refuse(TRACED_INDEX)
    key = tuple(_known_index(one) for one in key)
    used = len([one for one in key if one is not None and one is not Ellipsis])
    if Ellipsis in key:
        at = key.index(Ellipsis)
        key = (*key[:at], *(slice(None),) * (len(x.shape) - used), *key[at + 1 :])
    lists = [one for one in key if isinstance(one, tuple)]
    fine = all(one is None or isinstance(one, int | slice | tuple) for one in key) and len(lists) < 2
    if not fine or used > len(x.shape) or any(not isinstance(i, int) for one in lists for i in one):
        refuse(f"x[{key}] of an array of shape {x.shape}; expected slices, integers, None or one list of integers")
    index = tuple(one for one in key if one is not None)
    if lists and any(isinstance(one, int) for one in index):  # first the integers: NumPy would move axes about
        whole = tuple(slice(None) if isinstance(one, tuple) else one for one in key)
        rest = tuple(one if isinstance(one, tuple) else slice(None) for one in key if not isinstance(one, int))
        return getitem_of(getitem_of(x, whole), rest)
    if x.batch and index and index[0] != slice(None):
        refuse(f"x[{key}] of an array of shape {x.shape}, which chooses rows; expected all rows: x[:, …]")
    if any(isinstance(one, slice) and one.step not in (None, 1) and one.step < 1 for one in index):
        refuse(f"x[{key}]: a slice with a negative step; expected a step of at least 1")
    try:
        found = structure.take(x, index)
    except IndexError as error:
        refuse_shape(f"x[{key}] of an array of shape {x.shape}: {error}")
    kept = [one for one in key if not isinstance(one, int)]
    kept += [slice(None)] * (len(found.shape) + key.count(None) - len(kept))
    sizes = iter(found.shape)
    return structure.reshape(found, tuple(1 if one is None else next(sizes) for one in kept))


def _known_index(one: Any) -> Any:
    """A part of an index in Python's types: lists, ranges and arrays of integers as tuples."""
    if isinstance(one, np.integer):
        return int(one)
    if isinstance(one, range | list) or (isinstance(one, np.ndarray) and one.ndim == 1):
        given = list(one)
        if any(isinstance(i, bool | np.bool_) for i in given):
            refuse("an index of truth values; expected integers, as np.flatnonzero gives")
        return tuple(int(i) if isinstance(i, np.integer) else i for i in given)
    return one
