"""Rows of a table as a trained model expects them: features, and targets where the table has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...backends.errors import DataError
from .csv import Dialect
from .dataset import Dataset
from .names import differences, shown
from .preparation import Preparation
from .table_source import column_numbers, complete_rows, read_table, target_array
from .tables import frame_table


def targets_of(frame: Any, preparation: Preparation) -> np.ndarray:
    """The class names or values in the target columns of a data frame, as they were read in training.

    Raises
    ------
    DataError
        A target column is missing, or a value in it.
    """
    table, targets = frame_table(frame), preparation.target
    lacking = [name for name in targets if name not in table.columns]
    if lacking:
        raise DataError(
            f"{table.name} has no column {shown(lacking)}, which the model was trained to predict; add it, or give the "
            "targets: evaluate(x, y)"
        )
    return target_array(table, targets)


class PreparedRows(NamedTuple):
    """The rows of a table as a model expects them."""

    dataset: Dataset
    """The features, without targets."""
    y: np.ndarray | None
    """Class names or values, if they were asked for and the table has their columns."""
    remarks: list[str]


def feature_rows(
    source: Any,
    preparation: Preparation | None,
    feature_names: Sequence[str] | None = None,
    *,
    with_targets: bool = False,
) -> PreparedRows:
    """The rows of a table as a model expects them.

    Parameters
    ----------
    source : a file or a data frame.
    preparation : of the model; None for one that was trained on arrays, which takes the columns of numbers.
    feature_names : the model's, where it has no preparation; other columns are then left out.
    with_targets : whether to read the targets, too, if the table has their columns. Rows with missing values are then
        left out if they were in training.

    Raises
    ------
    DataError
        The table does not have the columns of the training, or a value is missing.
    """
    if preparation is None:
        table = read_table(source, Dialect())
        names = [*table.columns] if feature_names is None else [*feature_names]
        lacking = [name for name in names if name not in table.columns]
        if lacking:
            raise DataError(f"{table.name}: {differences(lacking)}; the model was trained on {shown(names)}")
        x = np.column_stack([column_numbers(table, name) for name in names])
        return PreparedRows(Dataset(x, feature_names=feature_names), None, [])
    targets = preparation.target
    categorical = [column.name for column in preparation.columns if column.categories is not None]
    table = read_table(source, preparation.dialect, texts=[*targets, *categorical])
    known, rows = with_targets and targets and all(name in table.columns for name in targets), table.rows
    if known and preparation.missing == "drop":
        wanted = [*targets, *(column.name for column in preparation.columns)]
        table = complete_rows(table, [name for name in wanted if name in table.columns])
    x, remarks = preparation.apply(table)
    if table.rows < rows:
        remarks.append(f"{rows - table.rows:,} of {rows:,} rows have missing values and are left out, as in training")
    y = target_array(table, targets) if known else None
    return PreparedRows(Dataset(x, feature_names=preparation.feature_names), y, remarks)
