"""Reads `.csv` files: a header line, then numbers; a target column may hold strings."""

from __future__ import annotations

import csv
import io
import math
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...backends.errors import DataError
from ..storage.files import opened, physical_memory

MAX_LINE = 16 << 20  # characters


def read_csv(
    path: str | os.PathLike[str], target: str | Sequence[str] | None = None, weight: str | None = None
) -> dict[str, np.ndarray]:
    """Read the features, the targets and, where there are any, the rows' weights of a comma-separated UTF-8 file.

    The first line is the header. A first line with numbers counts as a header only if a target is one of them,
    because otherwise a file without a header would silently lose its first row.

    Parameters
    ----------
    path : path of the file.
    target : the name of the target column, by default the last one; or the names of several.
    weight : the name of the column that holds the rows' weights.

    Returns
    -------
    x : (n, feature columns) float64.
    y : (n,) int64 if every target is an integer, else float64 if every one is a number, else strings. Of
        several target columns, (n, k) float64, in the order of their names.
    feature_names : names of the feature columns.
    weight : (n,) float64, where asked for.

    Raises
    ------
    DataError
        The file cannot be read, has no column names, or has a cell that is missing, not a number or not finite.
        The message names the line and the column.
    """
    path = Path(path)
    targets = [target] if isinstance(target, str) else list(target or ())
    try:
        with opened(path, physical_memory()) as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as file:
            return _read_rows(path, csv.reader(_lines(path, file)), targets, weight)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: it cannot be read: {error}") from error


def _lines(path: Path, file: io.TextIOBase) -> Iterator[str]:
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise DataError(f"{path}: it has a line of {MAX_LINE:,} characters or more, expected shorter ones")
        yield line


def _read_rows(path: Path, reader: Any, targets: list[str], weight: str | None) -> dict[str, np.ndarray]:
    names = _column_names(path, next(reader, []), [*targets, *([] if weight is None else [weight])])
    targets = targets or [next(name for name in reversed(names) if name != weight)]
    text = targets[0] if len(targets) == 1 else None  # the column that need not hold numbers
    numbers, answers = array("d"), []
    for cells in reader:
        if not cells:  # a blank line
            continue
        if len(cells) != len(names):
            raise DataError(f"{path}, line {reader.line_num}: {len(cells)} cells, expected {len(names)}")
        for name, cell in zip(names, cells, strict=True):
            number = _number(cell)
            if name == text and cell.strip() and (number is None or math.isfinite(number)):
                answers.append(cell.strip())
            elif name != text and number is not None and math.isfinite(number):
                numbers.append(number)
            else:
                expected = "a finite number or text" if name == text else "a finite number"
                raise DataError(
                    f"{path}, line {reader.line_num}, column {name!r}: the cell is {cell!r}, expected {expected}"
                )
    columns = [name for name in names if name != text]
    if not (numbers or answers):
        raise DataError(f"{path}: it has column names and no rows, expected at least one row")
    table = np.frombuffer(numbers).reshape(-1, len(columns))
    features = [place for place, name in enumerate(columns) if name not in (*targets, weight)]
    if not features:
        raise DataError(f"{path}: all columns are targets or weights, expected at least one feature")
    arrays = {"x": table if len(features) == len(columns) else table[:, features]}
    arrays["y"] = _target_array(answers) if text else table[:, [columns.index(name) for name in targets]]
    arrays["feature_names"] = np.array([columns[place] for place in features])
    return arrays if weight is None else {**arrays, "weight": table[:, columns.index(weight)]}


def _column_names(path: Path, cells: list[str], wanted: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise DataError(f"{path}: its first line is empty, expected column names")
    if len(names) < 2:
        raise DataError(
            f"{path}: its first line is {names[0]!r}, expected at least two column names with commas between them"
        )
    missing = [name for name in wanted if name not in names]
    if missing or not wanted:
        number = next((name for name in names if _number(name) is not None), None)
        if number is not None:
            raise DataError(
                f"{path}: its first line holds {number!r}, expected column names; "
                "if these are names, give the name of the target column (target=)"
            )
        if missing:
            raise DataError(f"{path}: there is no column {missing[0]!r}, its columns are {_shortened(names)}")
    if len(set(wanted)) < len(wanted):
        raise DataError(f"{path}: target and weight name a column twice: {', '.join(map(repr, wanted))}")
    seen = set()
    for position, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"{path}: column {position} has no name; is it an index that should not be a feature?")
        if name in seen:
            raise DataError(f"{path}: the column name {name!r} occurs twice")
        seen.add(name)
    return names


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # Python takes 1_000 for a number; in a file it is a name
    except ValueError:
        return None


def _target_array(cells: list[str]) -> np.ndarray:
    if any("_" in cell for cell in cells):
        return np.array(cells)
    for dtype, parse in ((np.int64, int), (np.float64, float)):
        try:
            return np.array([parse(cell) for cell in cells], dtype)
        except (ValueError, OverflowError):
            continue
    return np.array(cells)


def _shortened(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:10]))
    return shown if len(names) <= 10 else f"{shown}, … ({len(names)} in all)"
