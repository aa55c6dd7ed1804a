"""Data sets from tables: `.csv` and `.parquet` files and data frames, with categories and missing values."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ...backends.errors import ConfigurationError, DataError
from .arrays import is_frame
from .csv import Dialect, number, read_csv
from .dataset import Dataset
from .preparation import Preparation, prepare, with_means
from .tables import Table, frame_table, read_parquet

Missing = Literal["error", "mean", "drop"]
MAX_CLASSES = 100  # integers in a target column with more different values are quantities, not labels

DIGITS = re.compile(r"[+-]?\d[\d.,]*")  # of a number, with whatever decimal sign


@dataclass(frozen=True)
class TableOptions:
    """What to read from a table; see `load_dataset`."""

    target: str | Sequence[str] | None = None
    weight: str | None = None
    drop: Sequence[str] = ()
    categorical: Sequence[str] = ()
    categories: int = 20
    missing: Missing = "error"
    separator: str = ""
    decimal: str = ""
    encoding: str = ""

    def __post_init__(self) -> None:
        if self.missing not in get_args(Missing):
            raise ConfigurationError(f"missing={self.missing!r}, expected 'error', 'mean' or 'drop'")
        if isinstance(self.categories, bool) or not isinstance(self.categories, int) or self.categories < 2:
            raise ConfigurationError(f"categories={self.categories!r}, expected an integer of at least 2")
        for name in ("drop", "categorical"):
            given = getattr(self, name)
            if isinstance(given, str) or not all(isinstance(column, str) for column in given):
                raise ConfigurationError(f"{name}={given!r}, expected a list of names of columns")
        _ = self.dialect

    @property
    def dialect(self) -> Dialect:
        """How text files are written."""
        return Dialect(self.separator, self.decimal, self.encoding)

    @property
    def targets(self) -> list[str]:
        """The named target columns; none where it is the last column."""
        return [self.target] if isinstance(self.target, str) else [*(self.target or ())]


@dataclass(frozen=True, eq=False)
class PreparedTable:
    """The arrays of a table, before it is split: x has NaN for missing numbers."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    preparation: Preparation

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays to split: in place of the features, the number of each row."""
        found = {"x": np.arange(len(self.x), dtype=np.float64)[:, None], "y": self.y}
        return found if self.weight is None else {**found, "weight": self.weight}

    def parts(self, parts: dict[str, Dataset]) -> dict[str, Dataset]:
        """The parts of a split with their features; means are those of the training part."""
        preparation = self.preparation
        rows = {name: part.x[:, 0].astype(np.int64) for name, part in parts.items()}
        if preparation.missing == "mean":
            preparation = with_means(preparation, self.x[rows["train"]])
        names = preparation.feature_names
        fills = np.array([column.fill or 0.0 for column in preparation.columns for _ in column.features])
        for name, part in parts.items():
            x = self.x[rows[name]]
            part.x = np.where(np.isnan(x), fills, x) if preparation.missing == "mean" else x
            part.feature_names, part.preparation = names, preparation
        return parts


def read_table(source: Any, dialect: Dialect, *, texts: Sequence[str] = ()) -> Table:
    """The table of a `.csv`, `.tsv` or `.parquet` file, or of a data frame."""
    if is_frame(source):
        return frame_table(source)
    if Path(source).suffix.lower() == ".parquet":
        return read_parquet(source)
    return read_csv(source, dialect, texts=texts)


def load_table(source: Any, options: TableOptions) -> PreparedTable:
    """Reads a table and prepares its columns.

    Raises
    ------
    DataError
        A column is missing, or does not hold what it must; the message names it, the row and a remedy.
    """
    table = read_table(source, options.dialect, texts=[*options.targets, *options.categorical])
    names, targets = [*table.columns], options.targets
    _check_header(table, names, options)
    for option, wanted in (
        ("target", targets),
        ("weight", [options.weight] if options.weight else []),
        ("drop", options.drop),
        ("categorical", options.categorical),
    ):
        table.check_names(wanted, option)
    taken = [*targets, *([options.weight] if options.weight else []), *options.drop]
    if len({*taken}) < len(taken):
        twice = next(name for name in taken if taken.count(name) > 1)
        raise DataError(f"{table.name}: target, weight and drop name a column twice: {twice!r}")
    if not targets:
        if names[-1] in options.drop:
            raise DataError(
                f"{table.name}: drop names the last column, {names[-1]!r}, which is the target by default; give the "
                "target (data.target)"
            )
        targets = [next(name for name in reversed(names) if name not in taken)]
        taken += targets
        table = _as_text(source, table, targets[0], options)
    features = [name for name in names if name not in taken]
    if not features:
        raise DataError(f"{table.name}: all columns are targets, weights or dropped, expected at least one feature")
    strange = [name for name in options.categorical if name not in features]
    if strange:
        raise DataError(f"{table.name}: categorical names {strange[0]!r}, which is no feature")
    if options.missing == "drop":
        table = complete_rows(table, [*features, *targets, *([options.weight] if options.weight else [])])
    y = target_array(table, targets)
    weight = column_numbers(table, options.weight) if options.weight else None
    left_out = dict.fromkeys(options.drop, "dropped") | dict.fromkeys(targets, "the target")
    if options.weight is not None:
        left_out[options.weight] = "the weight of the row"
    preparation = prepare(
        table,
        features,
        categorical=options.categorical,
        most=options.categories,
        missing=options.missing,
        left_out=left_out,
        target=targets,
        dialect=options.dialect,
    )
    x, _ = preparation.apply(table, ready=False)
    return PreparedTable(x, y, weight, preparation)


def _check_header(table: Table, names: list[str], options: TableOptions) -> None:
    """Raises DataError if there are too few columns, or the first line of a file is not one of names."""
    if len(names) < 2:
        raise DataError(
            f"{table.name}: its first line is {names[0]!r}, expected at least two column names; give the character "
            "between them: data.separator"
        )
    number = next((name for name in names if _is_number(name)), None)
    if table.lines is not None and number is not None and not {*options.targets} & {*names}:
        raise DataError(
            f"{table.name}: its first line holds {number!r}, expected column names; "
            "if these are names, give that of the target: data.target = 'NAME'"
        )


def _is_number(text: str, decimal: str = ".") -> bool:
    try:
        return math.isfinite(number(text, decimal))
    except ValueError:
        return False


def _as_text(source: Any, table: Table, name: str, options: TableOptions) -> Table:
    """The table with the column `name` as text, where it is from a text file: integers and names are classes."""
    if table.lines is None:
        return table
    return read_table(source, options.dialect, texts=[name, *options.categorical])


def complete_rows(table: Table, names: Sequence[str]) -> Table:
    """The table without the rows that have a missing value in these columns."""
    whole = np.ones(table.rows, bool)
    for name in names:
        if not table.columns[name].missing.all():  # such a column is refused later, by name
            whole &= ~table.columns[name].missing
    if not whole.any():
        raise DataError(f"{table.name}: every row has a missing value; use data.missing = 'mean', or drop columns")
    return table if whole.all() else table.take(whole)


def target_array(table: Table, names: list[str]) -> np.ndarray:
    """The target (rows,), or (rows, n) of several columns: labels as integers or text, or numbers."""
    if len(names) > 1:
        return np.column_stack([column_numbers(table, name) for name in names])
    column = table.columns[names[0]]
    lacks = column.missing
    if lacks.any():
        raise DataError(
            f"{table.place(int(lacks.argmax()), names[0])}: the target is missing; fill it, or leave the row "
            "out, as data.missing = 'drop' does in training"
        )
    if column.kind in ("date", "duration"):
        raise DataError(f"{table.name}: the target {names[0]!r} holds {column.kind}s, expected numbers or classes")
    if column.kind == "bool":
        return column.values.astype(np.int64)
    if column.category:
        return column.texts().astype(str)
    if column.kind == "number":
        return column.values if column.whole is None else column.whole
    return _parsed(table, names[0], column.texts().tolist())


def _parsed(table: Table, name: str, cells: list[str]) -> np.ndarray:
    """Integers, numbers or text. Cells that look like numbers with another decimal sign are refused."""
    if any("_" in cell for cell in cells):
        return np.array(cells)
    for dtype, parse in ((np.int64, int), (np.float64, lambda cell: number(cell, table.decimal))):
        try:
            return np.array([parse(cell) for cell in cells], dtype)
        except (ValueError, OverflowError):
            continue
    if all(map(DIGITS.fullmatch, cells)):
        row = next(row for row, cell in enumerate(cells) if not _is_number(cell, table.decimal))
        raise DataError(
            f"{table.place(row, name)}: the cell is {cells[row]!r}, which is no number with the decimal sign "
            f"{table.decimal!r}; set data.decimal, or write numbers without separators of thousands"
        )
    return np.array(cells)


def column_numbers(table: Table, name: str) -> np.ndarray:
    """A column (rows,) of finite float64 numbers; missing values and other text are refused."""
    column = table.columns[name]
    if column.missing.any():
        raise DataError(f"{table.place(int(column.missing.argmax()), name)}: the value is missing, expected a number")
    if column.values.dtype.kind == "f":
        return column.values
    values = np.empty(table.rows)
    for row, text in enumerate(column.values):
        if not _is_number(text, table.decimal):
            raise DataError(f"{table.place(row, name)}: the cell is {text!r}, expected a finite number")
        values[row] = number(text, table.decimal)
    return values
