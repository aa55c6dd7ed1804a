"""`Preparation`: how the columns of a table become the features of a model, in training and in prediction."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ...backends.errors import DataError
from .csv import BOOLS, Dialect, number
from .names import differences, shown
from .tables import Column, Table

WHOLE = re.compile(r"(?<=\d)\.0+$")  # of an integer that is written as a float
SHOWN = 40  # columns of the printed table
FEW = 20  # rows, of which all may differ by chance
CODES = re.compile(  # words in the names of columns whose numbers are names
    r"(?<![a-z])(ids?|code|zip|zipcode|plz|postal|postcode|postleitzahl|sku|isbn|iban|phone|telephone|account|uuid)"
    r"(?![a-z])",
    re.IGNORECASE,
)
WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")  # ends of words in a name such as zipCode

Name = Annotated[str, Field(max_length=1 << 17)]


class ColumnPreparation(BaseModel):
    """How one column becomes features: a number as it is, or a category as one 0/1 feature for each category."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    name: Name
    categories: list[Name] | None = None
    fill: float | None = None
    """What replaces a missing number; None refuses it."""
    truth: bool = False
    looks: Literal["", "id", "code"] = ""
    """What a column of integers may be instead of quantities."""

    @property
    def features(self) -> list[str]:
        """The names of its features."""
        return [self.name] if self.categories is None else [f"{self.name}={text}" for text in self.categories]

    def described(self) -> str:
        """What is done to the column, in a few words."""
        filled = "" if self.fill is None else f", missing ones become {self.fill:.6g}"
        if self.categories is None:
            remedy = f"then leave it out: data.drop = [{self.name!r}]"
            remedy += f", or data.categorical = [{self.name!r}]" if self.looks == "code" else ""
            remark = f"; {'an id' if self.looks == 'id' else 'a code'}? {remedy}" if self.looks else ""
            return ("0 for false, 1 for true" if self.truth else "numbers, as they are") + filled + remark
        return f"{len(self.categories)} categories, one feature each: {', '.join(self.categories)}"


class Preparation(BaseModel):
    """How the columns of a table become features; saved with the model and applied again at prediction.

    `load_dataset` makes it for ``.csv`` and ``.parquet`` files and data frames. Printed, it is a table of the columns.

    Attributes
    ----------
    columns : of the features, in their order.
    left_out : names of columns that are no features (dropped, targets, weights); they may be there or not.
    missing : ``"error"``, ``"mean"`` or ``"drop"``: what was done with missing values in training.
    separator, decimal, encoding : of text files; empty where they are found.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    columns: list[ColumnPreparation] = Field(min_length=1)
    left_out: dict[Name, Name] = {}
    missing: Literal["error", "mean", "drop"] = "error"
    target: list[Name] = []
    separator: str = ""
    decimal: str = ""
    encoding: str = ""

    @property
    def feature_names(self) -> list[str]:
        """The names of all features, in order."""
        return [feature for column in self.columns for feature in column.features]

    @property
    def dialect(self) -> Dialect:
        """How text files are written."""
        return Dialect(self.separator, self.decimal, self.encoding)

    def __str__(self) -> str:
        rows = [(column.name, column.described()) for column in self.columns] + [*self.left_out.items()]
        width = min(30, max(len(name) for name, _ in rows))
        lines = [f"{name:<{width}}  {what if len(what) <= 120 else what[:119] + '…'}" for name, what in rows[:SHOWN]]
        return "\n".join([*lines, f"… and {len(rows) - SHOWN} more columns"] if len(rows) > SHOWN else lines)

    __repr__ = __str__

    def apply(self, table: Table, *, ready: bool = True) -> tuple[np.ndarray, list[str]]:
        """The features (rows, features) float64 of a table, and remarks about categories that training has not seen.

        Columns may be in any order. An unseen category, like a missing one that is allowed, has 0 in each feature.

        Parameters
        ----------
        ready : whether missing numbers are filled or refused; otherwise they stay NaN.

        Raises
        ------
        DataError
            A column is missing, unknown or of another kind, or has a missing value that is not filled.
        """
        wanted = [column.name for column in self.columns]
        lacking = [name for name in wanted if name not in table.columns]
        unknown = [name for name in table.columns if name not in {*wanted, *self.left_out}]
        if lacking or unknown:
            raise DataError(f"{table.name}: {differences(lacking, unknown)}; the model was trained on {shown(wanted)}")
        x = np.zeros((table.rows, len(self.feature_names)))
        place, remarks = 0, []
        for own in self.columns:
            column = table.columns[own.name]
            if own.categories is None:
                x[:, place] = self._numbers(table, own, column, ready)
            else:
                remarks += self._categories(table, own, column, x[:, place : place + len(own.categories)])
            place += len(own.features)
        return x, remarks

    def _numbers(self, table: Table, own: ColumnPreparation, column: Column, ready: bool) -> np.ndarray:
        if column.kind == "text" and not column.missing.all():
            column = _truth_values(column)
        if column.values.dtype.kind != "f" and not column.missing.all():
            texts = [(row, text) for row, text in enumerate(column.texts()) if text is not None]
            row = next((row for row, text in texts if not self._fits(own, column, text)), texts[0][0])
            expected = "yes or no, or true or false," if own.truth else "a number"
            raise DataError(
                f"{table.place(row, own.name)}: the value is {column.values[row]!r}, expected {expected} as in training"
            )
        values, missing = column.values, column.missing
        if missing.any() and ready:
            if own.fill is None:
                raise DataError(_missing(table, own.name, int(missing.argmax()), training=False))
            values = np.where(missing, own.fill, values)
        return values

    def _fits(self, own: ColumnPreparation, column: Column, text: str) -> bool:
        """Whether a value in a column that is not of numbers would be one."""
        if column.kind != "text":
            return False
        if own.truth:
            return text.lower() in BOOLS
        try:
            return math.isfinite(number(text, self.decimal))
        except ValueError:
            return False

    def _categories(self, table: Table, own: ColumnPreparation, column: Column, x: np.ndarray) -> list[str]:
        """Writes 1 where a row is of a category; returns a remark if there are unseen ones."""
        categories, texts = {text: place for place, text in enumerate(own.categories or [])}, column.texts()
        unseen: dict[str, int] = {}
        for row, text in enumerate(texts):
            if text is None:
                if self.missing != "mean":
                    raise DataError(_missing(table, own.name, row, training=False))
            elif (text := text if text in categories else WHOLE.sub("", text)) in categories:  # 4.0 for 4
                x[row, categories[text]] = 1
            else:
                unseen[text] = unseen.get(text, 0) + 1
        if not unseen:
            return []
        rows = sum(unseen.values())
        return [
            f"column {own.name!r}: {rows} row{'s' if rows > 1 else ''} with categories that were not in training "
            f"({shown([*unseen])}); they count as none of the {len(categories)} known ones"
        ]


def _truth_values(column: Column) -> Column:
    """A column of yes/no or true/false as numbers, as a file's is in training; any other unchanged."""
    known = [str(text).lower() for text in column.values if text is not None]
    if not all(text in BOOLS for text in known):
        return column
    return Column("bool", np.array([BOOLS.get(str(text).lower(), math.nan) for text in column.values]))


def _missing(table: Table, name: str, row: int, *, training: bool) -> str:
    remedy = "data.missing = 'mean' (the mean of the column; no category) or 'drop' (leaves the rows out)"
    remedy = f"set {remedy}" if training else f"fill it, or train with {remedy.partition(' or ')[0]}"
    return f"{table.place(row, name)}: the value is missing; {remedy}"


def prepare(
    table: Table,
    features: Sequence[str],
    *,
    categorical: Sequence[str],
    most: int,
    missing: Literal["error", "mean", "drop"],
    left_out: dict[str, str],
    target: list[str],
    dialect: Dialect,
) -> Preparation:
    """The preparation of these columns of a table; means are added by `with_means`, from the training rows.

    Raises
    ------
    DataError
        A column holds dates, or text with more than `most` categories, or nothing, or a value is missing and not
        allowed to be.
    """
    columns = []
    for name in features:
        column = table.columns[name]
        lacks = column.missing
        if lacks.all():
            raise DataError(f"{table.name}: column {name!r} has no values; leave it out: data.drop = [{name!r}]")
        if lacks.any() and missing == "error":
            raise DataError(_missing(table, name, int(lacks.argmax()), training=True))
        if column.kind in ("date", "duration"):
            shown_value = column.values[int((~lacks).argmax())]
            raise DataError(
                f"{table.name}: column {name!r} holds {column.kind}s ({shown_value!r}), which are no numbers; leave it "
                f"out, data.drop = [{name!r}], or save numbers instead, such as days since the first date, the month "
                "and the day of the week"
            )
        if column.kind == "text" or column.category or name in categorical:
            found = {text: None for text in column.texts() if text is not None}
            if len(found) > most:
                raise DataError(
                    f"{table.name}: column {name!r} has {len(found):,} different values ({shown([*found][:3])}, …); "
                    f"data.categories allows {most}; leave it out if they identify rows, data.drop = [{name!r}], or "
                    "allow more"
                )
            columns.append(ColumnPreparation(name=name, categories=sorted(found, key=_order)))
        else:
            looks = "" if column.kind == "bool" else looks_like(name, column.values)
            columns.append(ColumnPreparation(name=name, truth=column.kind == "bool", looks=looks))
    return Preparation(
        columns=columns,
        left_out=left_out,
        missing=missing,
        target=target,
        separator=dialect.separator,
        decimal=dialect.decimal,
        encoding=dialect.encoding,
    )


def looks_like(name: str, values: np.ndarray) -> Literal["", "id", "code"]:
    """What the numbers of a column may be: names of rows, if all are integers and differ, or of places and things."""
    known = values[~np.isnan(values)]
    if not (known == np.floor(known)).all():
        return ""
    if len(known) > FEW and len(np.unique(known)) == len(known):
        return "id"
    return "code" if CODES.search(WORDS.sub(" ", name)) else ""


def _order(text: str) -> tuple[bool, int, str]:
    """Integers come first and in their order."""
    whole = text.isdecimal() and len(text) < 19
    return not whole, int(text) if whole else 0, text


def with_means(preparation: Preparation, x: np.ndarray) -> Preparation:
    """The preparation that fills missing numbers with the means of the training rows x, which has NaN there.

    Raises
    ------
    DataError
        A column has no values in these rows.
    """
    columns, place = [], 0
    for column in preparation.columns:
        if column.categories is None:
            values = x[:, place]
            known = values[~np.isnan(values)]
            if not len(known):
                raise DataError(f"column {column.name!r} has no values in the training rows; leave it out: data.drop")
            column = column.model_copy(update={"fill": float(known.mean())})
        columns.append(column)
        place += len(column.features)
    return preparation.model_copy(update={"columns": columns})
