"""Data frames of pandas, polars and pyarrow become one array, and columns that are no numbers are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gearshift.backends.errors import DataError
from gearshift.dl.data import Dataset

pd = pytest.importorskip("pandas")


def frame(**columns: Any) -> Any:
    return pd.DataFrame({"a": np.arange(4) / 2, **columns})


def test_columns_of_different_types_become_one_array() -> None:
    taken = {
        "float64": frame(b=[True, False, True, True]),
        "uint8": pd.DataFrame({"a": np.arange(4, dtype="u1"), "b": [True, False, True, False]}),
        "float32": pd.DataFrame({"a": np.arange(4), "b": [True, False, True, False]}),
    }
    taken |= {
        f"float64 {i}": frame(b=pd.array([1, 2, 3, 4], kind)) for i, kind in enumerate(("Int64", "Float64", "UInt8"))
    }
    taken["float64 3"] = frame(b=pd.array([True, False, True, True], "boolean"))
    taken["float64 4"] = frame(b=pd.Series([3, 1, 2, 1], dtype="category"))
    taken["float64 5"] = frame(b=pd.arrays.SparseArray([0, 0, 1, 0]))
    for dtype, table in taken.items():
        data = Dataset(table)
        assert data.x.dtype == dtype.split()[0] and data.feature_names == ["a", "b"]
        np.testing.assert_array_equal(data.x, [[float(v) for v in row] for row in table.itertuples(index=False)])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (frame(b=pd.array([1, None, 2, 3], "Int64")), "x: column 'b' has no value in row 1, expected one in each row"),
        (frame(b=pd.array([1.5, 1, 2, None], "Float64")), "x: column 'b' has no value in row 3"),
        (frame(b=pd.array([True, None, True, True], "boolean")), "x: column 'b' has no value in row 1"),
        (frame(b=[1.0, np.nan, 2, 3]), r"x\[1, 1\] is nan \(row 1, column 'b'\)"),
        (
            frame(b=list("wxyz")),
            r"x: column 'b' has dtype .* begins with 'w'.* pandas.get_dummies\(x, columns=\['b'\]\)",
        ),
        (frame(b=["1", "2", "3", "4"]), r"x\['b'\].astype\(float\) if these are numbers"),
        (
            frame(b=pd.date_range("2024", periods=4)),
            r"column 'b' holds dates.* \(x\['b'\] - x\['b'\].min\(\)\).dt.days",
        ),
        (frame(b=pd.date_range("2024", periods=4, tz="UTC")), "column 'b' holds dates"),
        (frame(b=pd.Series([1, 2, 3, 4], dtype=object)), r"x\['b'\].astype\(float\) if these are numbers"),
        (frame(b=pd.to_datetime(["2024", None, "2025", "2026"])), "column 'b' holds dates"),
        (
            frame(b=pd.to_timedelta([1, 2, 3, 4], "h")),
            r"holds durations, expected numbers: x\['b'\].dt.total_seconds\(\)",
        ),
        (frame(b=pd.Series(list("abab"), dtype="category")), "x: column 'b' has dtype category"),
        (frame(b=[1 + 2j] * 4), "x: column 'b' has dtype complex128"),
        (pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]), "x: the column name 'a' occurs twice"),
        (pd.DataFrame([[1.0, 2.0]], columns=["a", 3]), "some names of its columns are text and 3 is not"),
        (pd.DataFrame(index=range(4)), r"x has shape \(4, 0\)"),
        (pd.Series([1.0, 2.0]), r"x has shape \(2,\).*x.reshape\(-1, 1\)"),
    ],
)
def test_columns_that_are_no_numbers_are_refused_by_name(x: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Dataset(x)


def test_targets_of_a_frame() -> None:
    x = np.zeros((3, 1))
    for y in (
        pd.array([0, 1, 2], "Int64"),
        pd.Series([0, 1, 2], dtype="Int64"),
        pd.Series([0, 1, 2], dtype="category"),
        pd.DataFrame({"y": [0, 1, 2]}),
    ):
        assert Dataset(x, y).y.dtype == np.int64 and Dataset(x, y).y.ravel().tolist() == [0, 1, 2]
    assert Dataset(x, pd.Series([True, False, True], dtype="boolean")).y.tolist() == [1, 0, 1]
    assert Dataset(x, pd.Series([0.5, 1, 2], dtype="Float64")).y.tolist() == [0.5, 1, 2]
    with pytest.raises(DataError, match="y has no value in row 1"):
        Dataset(x, pd.Series([0, None, 2], dtype="Int64"))
    for texts in (pd.Series(list("abc")), pd.Series(list("abc"), dtype="category"), np.array(list("abc"), object)):
        with pytest.raises(DataError, match=r"numpy.unique\(y, return_inverse=True\)\)$"):
            Dataset(x, texts)


def test_what_is_sparse_or_holds_objects_is_refused_with_the_way_out() -> None:
    from scipy.sparse import csr_array

    with pytest.raises(DataError, match=r"x is a sparse csr_array, expected a dense array: x.toarray\(\)"):
        Dataset(csr_array(np.eye(3)))
    with pytest.raises(DataError, match=r"x has dtype object, expected numbers; if all are numbers, x.astype\(float\)"):
        Dataset(np.eye(3).astype(object))
    with pytest.raises(DataError, match=r"recfunctions.structured_to_unstructured\(x\)"):
        Dataset(np.zeros(3, [("a", "f8"), ("b", "f8")]))


@pytest.mark.parametrize("module", ["polars", "pyarrow"])
def test_frames_of_other_libraries(module: str) -> None:
    library = pytest.importorskip(module)
    make = library.DataFrame if module == "polars" else library.table
    data = Dataset(make({"a": [0.5, 1.5], "b": [True, False], "c": [1, 2]}), make({"y": [0, 1]}))
    assert data.feature_names == ["a", "b", "c"] and data.x.tolist() == [[0.5, 1, 1], [1.5, 0, 2]]
    with pytest.raises(DataError, match="x: column 'b' has no value in row 1"):
        Dataset(make({"a": [1, 2], "b": [1, None]}))
    with pytest.raises(DataError, match=r"x: column 'b' .*begins with 'u'.* expected numbers"):
        Dataset(make({"a": [1, 2], "b": ["u", "v"]}))
