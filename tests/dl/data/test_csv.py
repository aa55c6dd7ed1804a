"""Reading .csv: good files in any dialect, and every bad cell named by line and column."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gearshift.backends.errors import ConfigurationError, DataError
from gearshift.dl.data import load_dataset
from gearshift.dl.data.csv import Dialect, read_csv
from gearshift.dl.data.table_source import TableOptions, load_table

NAMED = "a,b,kind\n1,2.5,cat\n-3,4e-1,dog\n"


def written(tmp_path, content: str | bytes):
    path = tmp_path / "data.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path, target=None, weight=None, **options: Any) -> dict[str, Any]:
    """The arrays of a table, and the names of its features."""
    table = load_table(path, TableOptions(target=target, weight=weight, **options))
    found = {"x": table.x, "y": table.y, "feature_names": table.preparation.feature_names}
    return found if weight is None else {**found, "weight": table.weight}


@pytest.mark.parametrize(
    "content",
    [NAMED, NAMED.replace("\n", "\r\n"), NAMED[:-1], "\ufeff" + NAMED, NAMED.replace(",", " , "), NAMED + "\n\n"],
    ids=["plain", "crlf", "no last newline", "byte order mark", "spaces", "blank lines"],
)
def test_a_named_file(tmp_path, content):
    x, y, _ = read(written(tmp_path, content)).values()
    assert x.dtype == np.float64 and x.tolist() == [[1, 2.5], [-3, 0.4]]
    assert y.tolist() == ["cat", "dog"]


def test_the_target_column_and_its_type(tmp_path):
    path = written(tmp_path, 'id,"size, cm",y\n7,1.5,2\n8,2,4\n')
    x, y, _ = read(path).values()
    assert x.tolist() == [[7, 1.5], [8, 2]] and y.dtype == np.int64 and y.tolist() == [2, 4]
    x, y, _ = read(path, target="size, cm").values()
    assert x.tolist() == [[7, 2], [8, 4]] and y.dtype == np.float64 and y.tolist() == [1.5, 2]
    x, y, _ = read(path, target="id").values()
    assert x.tolist() == [[1.5, 2], [2, 4]] and y.tolist() == [7, 8]


def test_numbers_may_name_columns_where_the_target_is_named(tmp_path):
    path = written(tmp_path, "0,1,target\n5,6,7\n")
    assert read(path, target="target")["x"].tolist() == [[5, 6]]
    with pytest.raises(DataError, match=r"first line holds '0', expected column names; .*data.target = 'NAME'"):
        read(path)


def test_whole_numbers_beyond_int64_become_floats(tmp_path):
    assert read(written(tmp_path, f"a,y\n1,{2**70}\n"))["y"].tolist() == [float(2**70)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2), elements=st.floats(-1e300, 1e300)))
def test_written_numbers_come_back_bit_for_bit(tmp_path, table):
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(f"c{i}" for i in range(table.shape[1]))
        writer.writerows(table.tolist())
    x, y, _ = read(path).values()
    np.testing.assert_array_equal(x, table[:, :-1])
    np.testing.assert_array_equal(y, table[:, -1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b,y\n1,2,3\n1,,3\n", "line 3, column 'b': the value is missing; set data.missing"),
        ("a,b,y\n1,two,3\n1,2,3\n1,4,3\n", "line 2, column 'b': the cell is 'two', expected a number as in most rows"),
        ("a,b,y\n\n1,2,3\n\n1,nan,3\n", "line 5, column 'b': the value is missing"),
        ("a,b,y\n-inf,2,3\n", "line 2, column 'a': the cell is -inf, expected a finite number"),
        ("a,b,y\n1,2,\n", "line 2, column 'y': the target is missing"),
        ("a,b,y\n1,2,NaN\n", "line 2, column 'y': the target is missing"),
        ('a,b,y\n1,2,"x\nz"\n1,q,3\n1,3,3\n', "line 4, column 'b': the cell is 'q'"),
        ("a,b,y\n1,2\n", "line 2: 2 cells, expected 3"),
        ("a,b,y\n1,2,3,4\n", "line 2: 4 cells, expected 3"),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "first line holds '5.1', expected column names"),
        ("", "first line is empty, expected column names"),
        (",,\n1,2,3\n", "first line is empty, expected column names"),
        ("a:b:y\n1:2:3\n", "first line is 'a:b:y', expected at least two column names"),
        (",a,y\n0,1,2\n", "column 1 has no name; if it is an index"),
        ("a,a,y\n0,1,2\n", "the column name 'a' occurs twice"),
        ("a,b,y\n", "column names and no rows"),
        (b"a,y\n1,\xff\n", "cannot be read: .*utf-8"),
        ("a,y\n1," + "z" * 200_000 + "\n", "cannot be read: field larger than"),
    ],
)
def test_bad_files(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_missing_columns_files_and_folders(tmp_path):
    path = written(tmp_path, NAMED)
    with pytest.raises(DataError, match="there is no column 'c', which target names; its columns are 'a', 'b', 'kind'"):
        read(path, target="c")
    wide = written(tmp_path, ",".join(f"c{i}" for i in range(30)) + "\n" + "1," * 29 + "1\n")
    with pytest.raises(DataError, match=r"'c9', … \(30 in all\)"):
        read(wide, target="y")
    with pytest.raises(DataError, match="there is no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path)


def test_names_with_underscores_are_no_numbers(tmp_path):
    """Python's own float takes 1_000 for a thousand."""
    _, y, _ = read(written(tmp_path, "a,y\n1,1_2\n2,1_3\n")).values()
    assert y.tolist() == ["1_2", "1_3"]
    with pytest.raises(DataError, match="the cell is '1_000', expected a number"):
        read(written(tmp_path, "a,y\n1_000,1\n2,1\n3,1\n"))


def test_several_targets_and_weights(tmp_path):
    path = written(tmp_path, "a,w,y,z\n1,0.5,3,4\n5,2,7,8\n")
    found = read(path, ["z", "y"], "w")
    assert {name: np.asarray(array).tolist() for name, array in found.items()} == {
        "x": [[1], [5]],
        "y": [[4, 3], [8, 7]],
        "feature_names": ["a"],
        "weight": [0.5, 2],
    }
    assert read(path, weight="z")["y"].tolist() == [3, 7]
    splits = load_dataset(path, target=["z", "y"], weight="w", validation=0, test=0)
    assert splits.classes is None and splits.train.y.shape == (2, 2) and splits.train.weight.tolist() == [0.5, 2]
    labelled = load_dataset(path, target="y", weight="w", validation=0, test=0)
    assert labelled.classes.tolist() == [3, 7] and labelled.train.x.tolist() == [[1, 4], [5, 8]]
    for targets, weight, message in (
        (["y", "v"], None, "there is no column 'v'"),
        (["y"], "v", "there is no column 'v'"),
        (["y", "y"], None, "name a column twice"),
        (["y"], "y", "name a column twice"),
        (["a", "y", "z"], "w", "expected at least one feature"),
    ):
        with pytest.raises(DataError, match=message):
            read(path, targets, weight)
    with pytest.raises(DataError, match="line 2, column 'y': the cell is 'no', expected a finite number"):
        read(written(tmp_path, "a,y,z\n1,no,2\n"), ["y", "z"])
    with pytest.raises(ConfigurationError, match="weight='w' names a column"):
        load_dataset("digits", weight="w")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_the_dialect_is_found_as_pandas_reads_it(tmp_path, separator, decimal, encoding):
    """Cells of pandas' own writer; a decimal comma beside the separator comma is quoted."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"größe": [1.5, -2.25, 1e3], "n": [1, 2, 3], "kind": ["a", "b", "ä"]})
    path = tmp_path / "t.csv"
    frame.to_csv(path, sep=separator, decimal=decimal, encoding=encoding, index=False)
    given = Dialect(decimal=decimal if separator == "," else "", encoding="cp1252" if encoding == "cp1252" else "")
    if separator == decimal:
        given = Dialect(separator=";", decimal=",", encoding=given.encoding)
        frame.to_csv(path, sep=";", decimal=decimal, encoding=encoding, index=False)
    table = read_csv(path, given)
    back = pandas.read_csv(path, sep=given.separator or separator, decimal=decimal, encoding=encoding)
    for name, column in table.columns.items():
        assert column.values.tolist() == back[name].tolist()


def test_text_that_comes_late_and_an_encoding_that_must_be_named(tmp_path):
    rows = [f"0{n},{n}" for n in range(5000)] + ["1a,5"] * 6000
    column = read_csv(written(tmp_path, "\n".join(["code,y", *rows]))).columns["code"]
    assert (
        column.kind == "text" and column.values[7] == "07" and column.values[-1] == "1a" and len(column.values) == 11000
    )
    path = written(tmp_path, "größe,y\n1,2\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"not utf-8 text .* data.encoding = 'cp1252'"):
        read_csv(path)
    assert [*read_csv(path, Dialect(encoding="cp1252")).columns] == ["größe", "y"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": ";;"}, "separator is ';;'"),
        ({"decimal": "'"}, "decimal is"),
        ({"separator": ",", "decimal": ","}, "both ','"),
        ({"encoding": "utf-9"}, "encoding is 'utf-9'"),
    ],
)
def test_a_dialect_that_does_not_exist(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Dialect(**options)
