"""Converts arrays and data frames from users to the memory layout that all backends accept.

All data pass through this module. The results are C-contiguous, aligned and in native byte order, so compiled loops
and kernels never see another layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backends import host
from ...backends.errors import DataError

NUMBERS = "biuf"  # kinds of dtypes


def read(name: str, value: Any) -> tuple[Any, list[str] | None]:
    """`value` as an array, and its column names if it has any.

    Parameters
    ----------
    name : the name used in messages.
    value : a NumPy or CuPy array, a list, a data frame or a column of one (pandas, Polars, PyArrow), or what offers
        DLPack or ``__array__``.

    Returns
    -------
    array : a NumPy array, a memory map or a CuPy array, of any layout and dtype; not a copy where that is possible.
    names : column names of a data frame; None if they are not strings.

    Raises
    ------
    DataError
        It cannot be read, has masked elements or missing values, or a column of a data frame does not hold numbers.
        The message names the column and the remedy.
    """
    if isinstance(value, np.memmap):
        return value, None
    if np.ma.is_masked(value):  # NumPy would use the masked values
        raise DataError(f"{name} has masked elements, expected none: {name}.filled(…), or leave their rows out")
    if isinstance(value, np.ndarray):
        return np.asarray(value), None
    if hasattr(value, "__cuda_array_interface__"):
        if not hasattr(value, "__array_ufunc__"):
            kind = type(value).__name__
            raise DataError(f"{name} is a {kind} on a GPU, expected a CuPy or CPU array: cupy.from_dlpack({name})")
        return value, None
    if hasattr(value, "toarray"):
        raise DataError(f"{name} is a sparse {type(value).__name__}, expected a dense array: {name}.toarray()")
    try:
        if is_frame(value):
            return _table(name, value)
        if _is_column(value):
            return _values(f"{name}", value), None
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value), None
        array = np.asarray(value)
    except DataError:
        raise
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        way_out = "; as float32, with .float()" if "bfloat16" in str(getattr(value, "dtype", "")) else ""
        kind = type(value).__name__
        raise DataError(f"{name} is a {kind} that cannot be read as an array: {error}{way_out}") from error
    if array.dtype == object and not array.ndim:
        way_out = (
            "; to train on batches that are read or made one by one, use gs.Batches"
            if hasattr(value, "__iter__")
            else ""
        )
        kind = "None" if value is None else f"a {type(value).__name__}"
        raise DataError(f"{name} is {kind}, expected an array{way_out}")
    return array, None


def plain(name: str, array: Any, dtype: Any) -> Any:
    """The array in `dtype`, C-contiguous, aligned and in native byte order; itself if it already is.

    A memory map with this layout stays mapped. Any other memory map is read into memory completely.

    Raises
    ------
    DataError
        A memory map must be read into memory and does not fit.
    """
    dtype = np.dtype(dtype)
    if not isinstance(array, np.ndarray):  # CuPy's are aligned, and of this byte order
        return array.astype(dtype, order="C", copy=False)
    if array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        return array
    if isinstance(array, np.memmap):
        _check_memory(name, array, dtype)
    with np.errstate(over="ignore", under="ignore"):  # an overflow becomes infinite and is reported as such
        return np.require(array, dtype, ["C", "A", "E"])


def native(array: Any) -> Any:
    """A NumPy array in native byte order; anything else as it is."""
    if isinstance(array, np.ndarray) and not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    return array


def float_type(dtype: np.dtype) -> np.dtype:
    """The floating-point type that numbers of `dtype` are kept in: float64 for float64 and wider, else float32."""
    return np.dtype(np.float64 if dtype.kind == "f" and dtype.itemsize >= 8 else np.float32)


def check_kind(name: str, array: Any, expected: str) -> None:
    """Raises DataError if the array does not hold numbers."""
    if array.dtype.kind not in NUMBERS:
        way_out = ""
        if array.dtype.kind == "V":
            way_out = f": numpy.lib.recfunctions.structured_to_unstructured({name})"
        elif array.dtype.kind == "O" and array.ndim and array.size and not isinstance(array.flat[0], str):
            way_out = f"; if all are numbers, {name}.astype(float)"
        raise DataError(f"{name} has dtype {array.dtype}, expected {expected}{way_out}")


def _check_memory(name: str, array: np.memmap, dtype: np.dtype) -> None:
    wanted, free = array.size * dtype.itemsize, host.memory()[0]
    if wanted > free:
        order = "C order" if array.flags.c_contiguous else "another order than C"
        raise DataError(
            f"{name} is a memory map of dtype {array.dtype} in {order}, which must be read whole: that takes {wanted} "
            f"bytes of memory, and {free} are free. Save it in C order as uint8, float32 or float64 (native byte "
            "order), which stays mapped"
        )


def is_frame(value: Any) -> bool:
    """Whether a value is a data frame (pandas, Polars, PyArrow)."""
    return len(getattr(value, "shape", ())) == 2 and (hasattr(value, "column_names") or hasattr(value, "columns"))


def _is_column(value: Any) -> bool:
    return hasattr(value, "to_numpy") and (hasattr(value, "isna") or hasattr(value, "is_null"))


def _table(name: str, table: Any) -> tuple[np.ndarray, list[str] | None]:
    """A data frame as one array: without a copy if its columns share one array, otherwise column by column."""
    labels = list(table.column_names if hasattr(table, "column_names") else table.columns)  # PyArrow; others
    names = _feature_names(name, labels)
    dtypes = {*getattr(table, "dtypes", ())}
    if len(dtypes) == 1 and all(isinstance(dtype, np.dtype) and dtype.kind in NUMBERS for dtype in dtypes):
        return np.asarray(table), names
    columns = [
        _numbers(name, label, table.iloc[:, place] if hasattr(table, "iloc") else table[label])
        for place, label in enumerate(labels)
    ]
    common = np.result_type(*columns) if columns else np.dtype(np.float64)
    array = np.empty((table.shape[0], len(columns)), common if common.kind != "f" else float_type(common))
    for place, column in enumerate(columns):
        array[:, place] = column
    return array, names


def _feature_names(name: str, labels: Sequence[Any]) -> list[str] | None:
    """The column labels of a data frame if they are strings, as in scikit-learn."""
    texts = [str(label) for label in labels if isinstance(label, str)]
    if not texts:
        return None
    if len(texts) < len(labels):
        other = next(label for label in labels if not isinstance(label, str))
        raise DataError(
            f"{name}: some names of its columns are text and {other!r} is not, expected all of one kind: "
            f"{name}.columns = {name}.columns.astype(str)"
        )
    twice = {text for text in texts if texts.count(text) > 1} if len({*texts}) < len(texts) else ()
    if twice:
        raise DataError(f"{name}: the column name {min(twice)!r} occurs twice, expected each once: rename one of them")
    return texts


def _values(where: str, column: Any) -> np.ndarray:
    """A column of a data frame as an array without missing values.

    Raises
    ------
    DataError
        A value is missing. In a column of NumPy floats, NaN is not missing but a non-finite number.
    """
    dtype = getattr(column, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in NUMBERS:
        return np.asarray(column)
    missing = np.asarray(column.isna() if hasattr(column, "isna") else column.is_null())
    if missing.any():
        raise DataError(
            f"{where} has no value in row {int(missing.argmax())}, expected one in each row: fill it, as with "
            "fillna(), or leave the row out, as with dropna()"
        )
    inner = getattr(dtype, "numpy_dtype", None)  # of pandas' nullable types, which NumPy may take for objects
    if isinstance(inner, np.dtype) and inner.kind in NUMBERS:
        return column.to_numpy(dtype=inner)
    return np.asarray(column)


def _numbers(name: str, label: Any, column: Any) -> np.ndarray:
    """A column of a data frame as numbers."""
    where, this = f"{name}: column {label!r}", f"{name}[{label!r}]"
    kind = getattr(getattr(column, "dtype", None), "kind", "")
    kind = kind or np.asarray(column).dtype.kind  # before missing values: to fill them would not help a date
    if kind == "M":
        raise DataError(
            f"{where} holds dates, expected numbers: days since the first, ({this} - {this}.min()).dt.days, or leave "
            "the column out"
        )
    if kind == "m":
        raise DataError(f"{where} holds durations, expected numbers: {this}.dt.total_seconds()")
    values = _values(where, column)
    if values.dtype.kind not in NUMBERS:
        shown = str(values.flat[0])[:40] if values.size else ""
        raise DataError(
            f"{where} has dtype {getattr(column, 'dtype', values.dtype)} (it begins with {shown!r}), expected numbers: "
            f"{this}.astype(float) if these are numbers, pandas.get_dummies({name}, columns=[{label!r}]) if they are "
            "categories"
        )
    return values
