"""Splits the rows of a data set into training, validation and test parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError
from .dataset import Dataset
from .draws import draw, draw_stratified

_VALUES = "set data.labels = 'values'"
SURE = 20  # expected rows of a class from which its absence means that the rows are sorted


def check_order(source: str, parts: dict[str, Dataset], drawn: Iterable[str], classes: np.ndarray) -> None:
    """Raises DataError if a part lacks a class that it would contain if the rows were shuffled."""
    rows = {part: np.bincount(parts[part].y, minlength=len(classes)) for part in ("train", *drawn) if part in parts}
    for part, found in rows.items():
        expected = rows["train"] * (len(parts[part]) / len(parts["train"]))
        missing = found == 0 if part == "train" else (found == 0) & (expected >= SURE)
        if missing.any():
            raise DataError(
                f"{source}: no row of class {classes[missing.argmax()].item()!r} is in the "
                f"{'training' if part == 'train' else part} part; are the rows sorted? "
                "(memory-mapped rows are split in the order that they have)"
            )


def set_aside(data: Dataset, fraction: Any, seed: int, labels: bool) -> tuple[Dataset, Dataset]:
    """The rows to train on and a fraction of them for validation, drawn as `load_dataset` draws them.

    The draw is random, and stratified if y holds `labels`; of memory-mapped rows, it is the last ones.

    Raises
    ------
    ConfigurationError
        `fraction` is not above 0 and below 1.
    DataError
        There are too few rows, or too few of a class.
    """
    if isinstance(fraction, bool | np.bool_) or not 0 < fraction < 1:
        raise ConfigurationError(
            f"validation is {fraction!r}; expected a fraction of the rows above 0 and below 1, such as 0.2, a Dataset, "
            "or (x, y)"
        )
    mapped = isinstance(data.x, np.memmap)
    stratified = labels and data.y is not None and data.y.ndim == 1 and data.y.dtype.kind == "i" and data.y.min() >= 0
    fractions = {"validation": float(fraction)}
    parts = split("fit", data, fractions, seed % 2**32, bool(stratified), in_order=mapped)
    return parts["train"], parts["validation"]


def split(
    source: str, data: Dataset, fractions: dict[str, float], seed: int, stratified: bool, in_order: bool = False
) -> dict[str, Any]:
    """Splits the parts named in `fractions` off `data`; if `in_order`, they are the last rows.

    What is left is the part ``train``. The rows of a few classes with fewer rows than parts are all in it.
    """
    sizes = {part: max(1, round(size * len(data))) for part, size in fractions.items() if size > 0}
    if sum(sizes.values()) >= len(data):
        aside = " and ".join(f"{size} for {part}" for part, size in sizes.items())
        raise DataError(f"{source}: too few rows, {len(data)} in all, to set aside {aside} and train on the rest")
    if in_order:
        parts, end = {}, len(data)
        for part in reversed(sizes):  # the test part is the last
            parts[part] = data[end - sizes[part] : end]
            end -= sizes[part]
        return {**parts, "train": data[:end]}

    rows, left = {}, np.arange(len(data))
    alone = np.empty(0, np.int64)
    if stratified:
        counts = np.bincount(data.y)
        rare = (counts > 0) & (counts <= len(sizes))
        if 2 * np.count_nonzero(rare) < np.count_nonzero(counts):
            alone, left = left[rare[data.y]], left[~rare[data.y]]  # too few to be in each part: they train
    for part, size in reversed(sizes.items()):
        try:
            stay, aside = draw_stratified(data.y[left], size, seed) if stratified else draw(len(left), size, seed)
        except ValueError as error:  # a class of one row, or fewer rows set aside than there are classes
            counts = np.bincount(data.y)
            rarest, classes = counts[counts > 0].min(), np.count_nonzero(counts)
            text = any(isinstance(name, str) for name in data.classes or ())
            way_out = f"; if these are numbers to predict, {'save them as numbers' if text else _VALUES}"
            if rarest > len(sizes):
                way_out = f"; set aside at least {classes} rows for {part}"
            raise DataError(
                f"{source}: no split sets aside {size} row{'s' * (size != 1)} for {part} with every class in each part:"
                f" there are {classes} classes, and the rarest has {rarest} of {len(data)} rows{way_out}"
            ) from error
        left, rows[part] = left[stay], left[aside]
    return {part: data[np.sort(chosen)] for part, chosen in {**rows, "train": np.concatenate([left, alone])}.items()}
