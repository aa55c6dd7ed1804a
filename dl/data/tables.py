"""Tables: columns of numbers, text or dates with missing values, from data frames and Parquet files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...backends import host
from ...backends.errors import ConfigurationError, DataError
from ..storage.files import opened
from .names import shown

Kind = Literal["number", "bool", "text", "date", "duration"]


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table.

    Attributes
    ----------
    kind : what it holds.
    values : (rows,) float64, NaN where missing; of text and dates, objects that are str, and None where missing.
    whole : (rows,) int64 where all are integers and none is missing, else None.
    category : whether its type says that it holds categories.
    """

    kind: Kind
    values: np.ndarray
    whole: np.ndarray | None = None
    category: bool = False

    @property
    def missing(self) -> np.ndarray:
        """(rows,) bool."""
        if self.values.dtype.kind == "f":
            return np.isnan(self.values)
        return np.array([value is None for value in self.values], dtype=bool)

    def texts(self) -> np.ndarray:
        """(rows,) objects: each value as text, an integer without a decimal point; None where missing."""
        if self.values.dtype.kind != "f":
            return self.values
        texts = [
            None if value != value else str(int(value)) if value.is_integer() else repr(value)
            for value in self.values.tolist()
        ]
        return _objects(texts)


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of one length, and where they are from, for messages.

    Attributes
    ----------
    name : of the file or frame.
    lines : (rows,) the line of each row in its file, or None.
    decimal : the decimal sign of its text.
    """

    name: str
    columns: dict[str, Column]
    rows: int
    lines: np.ndarray | None = field(default=None, repr=False)
    decimal: str = "."

    def place(self, row: int, column: str) -> str:
        """Names a cell in a message."""
        where = f": row {row}" if self.lines is None else f", line {self.lines[row]}"
        return f"{self.name}{where}, column {column!r}"

    def take(self, rows: np.ndarray) -> Table:
        """The table of some rows."""
        columns = {
            name: Column(c.kind, c.values[rows], None if c.whole is None else c.whole[rows], c.category)
            for name, c in self.columns.items()
        }
        size = int(rows.sum()) if rows.dtype == bool else len(rows)
        return Table(self.name, columns, size, None if self.lines is None else self.lines[rows], self.decimal)

    def check_names(self, wanted: Sequence[str], option: str) -> None:
        """Raises DataError if a column is not there."""
        for name in wanted:
            if name not in self.columns:
                raise DataError(
                    f"{self.name}: there is no column {name!r}, which {option} names; its columns are "
                    f"{shown([*self.columns])}"
                )


def frame_table(frame: Any, name: str = "the data frame") -> Table:
    """The table of a data frame of pandas, Polars or PyArrow.

    Raises
    ------
    DataError
        Its columns have no names or equal ones, or a column holds neither numbers, text, dates nor truth values.
    """
    labels = list(frame.column_names if hasattr(frame, "column_names") else frame.columns)
    names = [str(label) for label in labels]
    if len({*names}) < len(names):
        twice = next(label for label in names if names.count(label) > 1)
        raise DataError(f"{name}: the column name {twice!r} occurs twice; rename one of them")
    if not names or not frame.shape[0]:
        raise DataError(f"{name} has shape {tuple(frame.shape)}; expected at least one row and one column")
    columns = {}
    for place, (label, text) in enumerate(zip(labels, names, strict=True)):
        column = frame.iloc[:, place] if hasattr(frame, "iloc") else frame[label]
        columns[text] = _column(f"{name}: column {text!r}", column)
    return Table(name, columns, int(frame.shape[0]))


def _column(where: str, column: Any) -> Column:
    dtype = getattr(column, "dtype", getattr(column, "type", None))
    category = str(dtype).lower().startswith(("categor", "enum", "dictionary"))
    lacks = column.isna() if hasattr(column, "isna") else column.is_null() if hasattr(column, "is_null") else None
    array = np.asarray(column)
    missing = np.zeros(len(array), bool) if lacks is None else np.asarray(lacks).astype(bool)
    if array.dtype.kind == "O" and not missing.all():
        known = array[~missing]
        if all(isinstance(value, bool | np.bool_) for value in known):
            return Column("bool", _floats(array, missing), None, category)
        if all(isinstance(value, int | float | np.number) for value in known):
            whole = known.astype(np.int64) if not missing.any() and _whole(known) else None
            return Column("number", _floats(array, missing), whole, category)
        if all(hasattr(value, "isoformat") for value in known):
            return Column("date", _texts(array, missing))
        if all(isinstance(value, str) for value in known):
            return Column("text", _texts(array, missing), None, category)
        strange = next(value for value in known if not isinstance(value, str))
        raise DataError(f"{where} holds a {type(strange).__name__}; expected numbers, text, dates or truth values")
    if array.dtype.kind in "Mm":
        return Column("date" if array.dtype.kind == "M" else "duration", _texts(array, missing | np.isnat(array)))
    if array.dtype.kind in "OUT":
        return Column("text", _texts(array, missing), None, category)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where} has dtype {array.dtype}; expected numbers, text, dates or truth values")
    whole = array.astype(np.int64) if array.dtype.kind in "iu" else None
    values = array.astype(np.float64)
    values[missing] = np.nan
    return Column("bool" if array.dtype.kind == "b" else "number", values, whole, category)


def _whole(values: np.ndarray) -> bool:
    return all(isinstance(value, int | np.integer) and -(2**63) <= value < 2**63 for value in values)


def _floats(array: np.ndarray, missing: np.ndarray) -> np.ndarray:
    values = np.full(len(array), np.nan)
    values[~missing] = array[~missing].astype(np.float64)
    return values


def _texts(array: np.ndarray, missing: np.ndarray) -> np.ndarray:
    return _objects([None if lacks else str(value) for value, lacks in zip(array.tolist(), missing, strict=True)])


def _objects(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def read_parquet(path: str | os.PathLike[str]) -> Table:
    """The table of a Parquet file, read by PyArrow.

    Raises
    ------
    ConfigurationError
        PyArrow is not installed.
    DataError
        The file is missing or damaged, or larger than the memory.
    """
    path = Path(path)
    try:
        import pyarrow.parquet as parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ConfigurationError(f"{path}: Parquet needs PyArrow: pip install 'gearshift[parquet]'") from None
    import pyarrow  # pyright: ignore[reportMissingImports]

    try:
        with opened(path, host.memory()[1]) as file:
            stored = parquet.ParquetFile(file)
            facts = stored.metadata
            size = sum(facts.row_group(group).total_byte_size for group in range(facts.num_row_groups))
            size = max(size, 8 * facts.num_rows * facts.num_columns)
            if size > host.memory()[1]:
                raise DataError(f"{path}: its table takes {size:,} bytes, more than the memory of this machine")
            frame = stored.read(use_threads=False)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (OSError, pyarrow.ArrowException, MemoryError, ValueError) as error:
        raise DataError(f"{path}: it cannot be read as Parquet: {str(error)[:200]}") from None
    return frame_table(frame, str(path))
