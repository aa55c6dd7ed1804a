"""Reading `.csv` files: one line of column names, then numbers; the target column may hold text."""

from __future__ import annotations

import csv
import math
import os
from array import array
from pathlib import Path

import numpy as np

from ...backends.errors import DataError


def read_csv(path: str | os.PathLike[str], target: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read the features and the target of a comma-separated UTF-8 file.

    The first line names the columns. A first line with numbers in it is taken for names only if `target` is one
    of them, because a file without names would lose its first row unnoticed.

    Parameters
    ----------
    path : path of the file.
    target : the name of the target column, by default the last one.

    Returns
    -------
    x : (n, columns - 1) float64.
    y : (n,) int64 where every target is a whole number, else float64 where every one is a number, else text.

    Raises
    ------
    DataError
        The file cannot be read, has no column names, or has a cell that is missing, not a number or not finite.
        The message names the line and the column.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read_rows(path, csv.reader(file), target)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: it cannot be read: {error}") from error


def _read_rows(path: Path, reader, target: str | None) -> tuple[np.ndarray, np.ndarray]:
    names = _column_names(path, next(reader, []), target)
    at = len(names) - 1 if target is None else names.index(target)
    features, targets = array("d"), []
    for cells in reader:
        if not cells:  # a blank line
            continue
        if len(cells) != len(names):
            raise DataError(f"{path}, line {reader.line_num}: {len(cells)} cells, expected {len(names)}")
        for column, (name, cell) in enumerate(zip(names, cells, strict=True)):
            number = _number(cell)
            if column == at and cell.strip() and (number is None or math.isfinite(number)):
                targets.append(cell.strip())
            elif column != at and number is not None and math.isfinite(number):
                features.append(number)
            else:
                expected = "a finite number or text" if column == at else "a finite number"
                raise DataError(
                    f"{path}, line {reader.line_num}, column {name!r}: the cell is {cell!r}, expected {expected}"
                )
    if not targets:
        raise DataError(f"{path}: it has column names and no rows, expected at least one row")
    return np.array(features).reshape(len(targets), -1), _target_array(targets)


def _column_names(path: Path, cells: list[str], target: str | None) -> list[str]:
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise DataError(f"{path}: its first line is empty, expected column names")
    if len(names) < 2:
        raise DataError(
            f"{path}: its first line is {names[0]!r}, expected at least two column names with commas between them"
        )
    if target not in names:
        number = next((name for name in names if _number(name) is not None), None)
        if number is not None:
            raise DataError(
                f"{path}: its first line holds {number!r}, expected column names; "
                "if these are names, give the name of the target column (target=)"
            )
        if target is not None:
            raise DataError(f"{path}: there is no column {target!r}, its columns are {_shortened(names)}")
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
        return float(cell)
    except ValueError:
        return None


def _target_array(cells: list[str]) -> np.ndarray:
    for dtype, parse in ((np.int64, int), (np.float64, float)):
        try:
            return np.array([parse(cell) for cell in cells], dtype)
        except (ValueError, OverflowError):
            continue
    return np.array(cells)


def _shortened(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:10]))
    return shown if len(names) <= 10 else f"{shown}, … ({len(names)} in all)"
