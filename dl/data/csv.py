"""Reads delimited text files (`.csv`, `.tsv`): a header line, then cells of numbers, text or dates."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ...backends import host
from ...backends.errors import ConfigurationError, DataError
from ..storage.files import opened
from .tables import Column, Kind, Table

MAX_LINE = 16 << 20  # characters
CHUNK = 4096  # rows that are converted together
SEPARATORS = (",", ";", "\t", "|")
MISSING = frozenset(("", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "?"))
BOOLS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
DATE = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}.*)?|\d{4}/\d{1,2}/\d{1,2}.*|\d{1,2}([./-])\d{1,2}\2\d{2,4}( .*)?"
)
COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
POINT = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How a text file is written; what is empty is found.

    Parameters
    ----------
    separator : one character between cells; found among ``, ; | `` and tab.
    decimal : ``"."`` or ``","``.
    encoding : a name that Python knows; by default UTF-8, or UTF-16 if the file has its byte order mark.

    Raises
    ------
    ConfigurationError
        One of them is something else.
    """

    separator: str = ""
    decimal: str = ""
    encoding: str = ""

    def __post_init__(self) -> None:
        if len(self.separator) > 1 or self.separator in ('"', "\n", "\r"):
            raise ConfigurationError(f"separator is {self.separator!r}; expected one character, such as ';' or '\\t'")
        if self.decimal not in ("", ".", ","):
            raise ConfigurationError(f"decimal is {self.decimal!r}; expected '.' or ','")
        if self.separator and self.separator == self.decimal:
            raise ConfigurationError(f"separator and decimal are both {self.decimal!r}; expected different characters")
        try:
            "".encode(self.encoding or "utf-8")
        except (LookupError, ValueError, TypeError):
            raise ConfigurationError(
                f"encoding is {self.encoding!r}; expected a text encoding such as 'utf-8' or 'cp1252'"
            ) from None


def read_csv(path: str | os.PathLike[str], dialect: Dialect | None = None, *, texts: Sequence[str] = ()) -> Table:
    """The table of a delimited text file whose first line holds the column names.

    A column is of numbers if all its cells are, of truth values if all are true/false or yes/no, of dates if all look
    like one, otherwise of text. Cells are missing if they are empty or ``NA``, ``N/A``, ``NaN``, ``null`` or ``?``.

    Parameters
    ----------
    path : path of the file.
    dialect : how it is written.
    texts : columns to read as text, whatever they hold.

    Raises
    ------
    DataError
        The file cannot be read, has no column names, or a line with too few or too many cells, or an infinite number;
        or a few cells of a column of numbers are none. The message names the line and the column.
    """
    path, dialect = Path(path), dialect or Dialect()
    with _explained(path, dialect):
        dialect = _found(path, dialect)
        names, _ = _header(path, dialect)
        kept = {place for place, name in enumerate(names) if name in texts}
        while True:  # once more for each column whose first cell that is no number comes late
            columns, lines, late = _read(path, dialect, names, kept)
            if not late:
                break
            kept |= late
    if not len(lines):
        raise DataError(f"{path}: it has column names and no rows, expected at least one row")
    table = Table(str(path), {}, len(lines), np.frombuffer(lines, np.int64), dialect.decimal)
    for name, cells in zip(names, columns, strict=True):
        table.columns[name] = _column(table, name, cells, dialect.decimal, plain=name in texts)
    return table


@contextmanager
def _explained(path: Path, dialect: Dialect) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except UnicodeError as error:
        tried = dialect.encoding or "utf-8"
        raise DataError(
            f"{path}: it cannot be read: it is not {tried} text ({error}); give its encoding, as data.encoding = "
            "'cp1252' (Windows) or 'latin-1'"
        ) from None
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: it cannot be read: {error}") from error


@contextmanager
def _text(path: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    with opened(path, host.memory()[1]) as raw:
        if not encoding:
            encoding = "utf-16" if raw.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        with io.TextIOWrapper(raw, encoding, newline="") as file:
            yield file


def _lines(path: Path, file: io.TextIOBase) -> Iterator[str]:
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise DataError(f"{path}: it has a line of {MAX_LINE:,} characters or more, expected shorter ones")
        yield line


def _found(path: Path, dialect: Dialect) -> Dialect:
    """The dialect with what was left to be found, from the first rows."""
    with _text(path, dialect.encoding) as file:
        lines = list(islice(_lines(path, file), 200))
    separator = dialect.separator
    if not separator:
        scores = {}
        for candidate in SEPARATORS:
            if candidate == dialect.decimal:
                continue
            counts = [len(cells) for cells in csv.reader(lines[:-1] or lines, delimiter=candidate) if cells]
            alike = sum(count == counts[0] for count in counts) if counts else 0
            scores[candidate] = (bool(counts) and counts[0] > 1, alike, counts[0] if counts else 0)
        separator = max(SEPARATORS, key=lambda one: scores.get(one, (False, -1, 0)))
        if not scores[separator][0]:
            separator = ","
    decimal = dialect.decimal
    if not decimal:
        cells = [cell.strip() for row in csv.reader(lines[1:], delimiter=separator) for cell in row]
        comma = None if separator == "," else next(filter(COMMA.fullmatch, cells), None)
        point = next(filter(POINT.fullmatch, cells), None)
        if comma is not None and point is not None:
            raise DataError(
                f"{path}: the cells {comma!r} and {point!r} have different decimal signs; "
                "set data.decimal to ',' or '.'"
            )
        decimal = "." if comma is None else ","
    return Dialect(separator, decimal, dialect.encoding)


def _header(path: Path, dialect: Dialect) -> tuple[list[str], int]:
    with _text(path, dialect.encoding) as file:
        reader = csv.reader(_lines(path, file), delimiter=dialect.separator)
        names = [cell.strip() for cell in next(reader, [])]
    if not any(names):
        raise DataError(f"{path}: its first line is empty, expected column names")
    seen = set()
    for position, name in enumerate(names, start=1):
        if not name:
            raise DataError(
                f"{path}: column {position} has no name; if it is an index, write the file with "
                "to_csv(…, index=False), otherwise name it"
            )
        if name in seen:
            raise DataError(f"{path}: the column name {name!r} occurs twice")
        seen.add(name)
    return names, reader.line_num


def _read(path: Path, dialect: Dialect, names: list[str], kept: set[int]) -> tuple[list[Any], array, set[int]]:
    """The cells of each column, as an array of floats or a list of text, and the line of each row.

    `kept` are columns of text. The last result are columns to add to them, if any: then the rest is incomplete.
    """
    lines, kept = array("q"), set(kept)
    columns: list[Any] = [[] if place in kept else array("d") for place in range(len(names))]
    with _text(path, dialect.encoding) as file:
        reader = csv.reader(_lines(path, file), delimiter=dialect.separator)
        next(reader)
        while rows := _rows(path, reader, len(names), lines):
            late = set()
            for place, cells in enumerate(zip(*rows, strict=True)):
                if place not in kept:
                    try:
                        columns[place].extend([number(cell, dialect.decimal) for cell in cells])
                        continue
                    except ValueError:
                        late.add(place)
                if place in kept:
                    columns[place].extend([cell.strip() for cell in cells])
            if late and len(lines) > len(rows):
                return columns, lines, late
            for place in late:  # of the first rows: nothing needs to be read again
                columns[place] = [row[place].strip() for row in rows]
            kept |= late
    return columns, lines, set()


def _rows(path: Path, reader: Any, width: int, lines: array) -> list[list[str]]:
    rows = []
    for cells in reader:
        if not cells or (width > 1 and len(cells) == 1 and not cells[0].strip()):  # a blank line
            continue
        if len(cells) != width:
            raise DataError(f"{path}, line {reader.line_num}: {len(cells)} cells, expected {width}")
        rows.append(cells)
        lines.append(reader.line_num)
        if len(rows) == CHUNK:
            break
    return rows


def number(cell: str, decimal: str) -> float:
    """A cell as a number, NaN if it is missing; raises ValueError if it is text."""
    text = cell.strip()
    if text in MISSING:
        return math.nan
    if "_" in text:  # Python takes 1_000 for a number; in a file it is a name
        raise ValueError
    if decimal == ",":
        if "." in text:
            raise ValueError
        text = text.replace(",", ".")
    return float(text)


def _column(table: Table, name: str, cells: Any, decimal: str, *, plain: bool) -> Column:
    if isinstance(cells, array):
        values = np.frombuffer(cells, np.float64)
        infinite = np.isinf(values)
        if infinite.any():
            row = int(infinite.argmax())
            raise DataError(f"{table.place(row, name)}: the cell is {values[row]:g}, expected a finite number")
        return Column("number", values)
    known = [cell for cell in cells if cell not in MISSING]
    kind: Kind = "text"
    if known and not plain:
        if all(cell.lower() in BOOLS for cell in known):
            return Column("bool", np.array([BOOLS.get(cell.lower(), math.nan) for cell in cells]))
        if all(map(DATE.fullmatch, known)):
            kind = "date"
        else:
            _check_mixed(table, name, cells, decimal)
    values = np.empty(len(cells), dtype=object)
    values[:] = [None if cell in MISSING else cell for cell in cells]
    return Column(kind, values)


def _check_mixed(table: Table, name: str, cells: list[str], decimal: str) -> None:
    """Raises DataError if most cells are numbers, so that the others are mistakes."""
    strange, numbers = -1, 0
    for row, cell in enumerate(cells):
        try:
            numbers += cell not in MISSING and math.isfinite(number(cell, decimal))
        except ValueError:
            strange = row if strange < 0 else strange
    if 2 * numbers > sum(cell not in MISSING for cell in cells):
        raise DataError(
            f"{table.place(strange, name)}: the cell is {cells[strange]!r}, expected a number as in most rows; correct "
            f"it, or set data.categorical = [{name!r}] if the column holds categories"
        )
