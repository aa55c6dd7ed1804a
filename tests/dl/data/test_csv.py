"""Reading .csv: good files, and every bad cell named by line and column."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gearshift.backends.errors import ConfigurationError, DataError
from gearshift.dl.data import load_dataset
from gearshift.dl.data.csv import read_csv

NAMED = "a,b,kind\n1,2.5,cat\n-3,4e-1,dog\n"


def written(tmp_path, content: str | bytes):
    path = tmp_path / "data.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [NAMED, NAMED.replace("\n", "\r\n"), NAMED[:-1], "\ufeff" + NAMED, NAMED.replace(",", " , "), NAMED + "\n\n"],
    ids=["plain", "crlf", "no last newline", "byte order mark", "spaces", "blank lines"],
)
def test_a_named_file(tmp_path, content):
    x, y, _ = read_csv(written(tmp_path, content)).values()
    assert x.dtype == np.float64 and x.tolist() == [[1, 2.5], [-3, 0.4]]
    assert y.tolist() == ["cat", "dog"]


def test_the_target_column_and_its_type(tmp_path):
    path = written(tmp_path, 'id,"size, cm",y\n7,1.5,2\n8,2,4\n')
    x, y, _ = read_csv(path).values()
    assert x.tolist() == [[7, 1.5], [8, 2]] and y.dtype == np.int64 and y.tolist() == [2, 4]
    x, y, _ = read_csv(path, target="size, cm").values()
    assert x.tolist() == [[7, 2], [8, 4]] and y.dtype == np.float64 and y.tolist() == [1.5, 2]
    x, y, _ = read_csv(path, target="id").values()
    assert x.tolist() == [[1.5, 2], [2, 4]] and y.tolist() == [7, 8]


def test_numbers_may_name_columns_where_the_target_is_named(tmp_path):
    path = written(tmp_path, "0,1,target\n5,6,7\n")
    assert read_csv(path, target="target")["x"].tolist() == [[5, 6]]
    with pytest.raises(DataError, match=r"first line holds '0', expected column names; .*\(target=\)"):
        read_csv(path)


def test_whole_numbers_beyond_int64_become_floats(tmp_path):
    assert read_csv(written(tmp_path, f"a,y\n1,{2**70}\n"))["y"].tolist() == [float(2**70)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2), elements=st.floats(-1e300, 1e300)))
def test_written_numbers_come_back_bit_for_bit(tmp_path, table):
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(f"c{i}" for i in range(table.shape[1]))
        writer.writerows(table.tolist())
    x, y, _ = read_csv(path).values()
    np.testing.assert_array_equal(x, table[:, :-1])
    np.testing.assert_array_equal(y, table[:, -1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b,y\n1,2,3\n1,,3\n", "line 3, column 'b': the cell is '', expected a finite number"),
        ("a,b,y\n1,two,3\n", "line 2, column 'b': the cell is 'two', expected a finite number"),
        ("a,b,y\n\n1,2,3\n\n1,nan,3\n", "line 5, column 'b': the cell is 'nan'"),
        ("a,b,y\n-inf,2,3\n", "line 2, column 'a': the cell is '-inf'"),
        ("a,b,y\n1,2,\n", "line 2, column 'y': the cell is '', expected a finite number or text"),
        ("a,b,y\n1,2,NaN\n", "line 2, column 'y': the cell is 'NaN', expected a finite number or text"),
        ('a,b,y\n1,2,"x\nz"\n1,q,3\n', "line 4, column 'b': the cell is 'q'"),
        ("a,b,y\n1,2\n", "line 2: 2 cells, expected 3"),
        ("a,b,y\n1,2,3,4\n", "line 2: 4 cells, expected 3"),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "first line holds '5.1', expected column names"),
        ("", "first line is empty, expected column names"),
        (",,\n1,2,3\n", "first line is empty, expected column names"),
        ("a;b;y\n1;2;3\n", "first line is 'a;b;y', expected at least two column names with commas between"),
        (",a,y\n0,1,2\n", "column 1 has no name; is it an index"),
        ("a,a,y\n0,1,2\n", "the column name 'a' occurs twice"),
        ("a,b,y\n", "column names and no rows"),
        (b"a,y\n1,\xff\n", "cannot be read: .*utf-8"),
        ("a,y\n1," + "z" * 200_000 + "\n", "cannot be read: field larger than"),
    ],
)
def test_bad_files(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        read_csv(path)
    assert str(path) in str(caught.value)


def test_missing_columns_files_and_folders(tmp_path):
    path = written(tmp_path, NAMED)
    with pytest.raises(DataError, match="there is no column 'c', its columns are 'a', 'b', 'kind'"):
        read_csv(path, target="c")
    wide = written(tmp_path, ",".join(f"c{i}" for i in range(30)) + "\n")
    with pytest.raises(DataError, match=r"'c9', … \(30 in all\)"):
        read_csv(wide, target="y")
    with pytest.raises(DataError, match="there is no such file"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_csv(tmp_path)


def test_names_with_underscores_are_no_numbers(tmp_path):
    """Python's own float takes 1_000 for a thousand."""
    _, y, _ = read_csv(written(tmp_path, "a,y\n1,1_2\n2,1_3\n")).values()
    assert y.tolist() == ["1_2", "1_3"]
    with pytest.raises(DataError, match="the cell is '1_000', expected a finite number"):
        read_csv(written(tmp_path, "a,y\n1_000,1\n"))


def test_several_targets_and_weights(tmp_path):
    path = written(tmp_path, "a,w,y,z\n1,0.5,3,4\n5,2,7,8\n")
    found = read_csv(path, ["z", "y"], "w")
    assert {name: array.tolist() for name, array in found.items()} == {
        "x": [[1], [5]],
        "y": [[4, 3], [8, 7]],
        "feature_names": ["a"],
        "weight": [0.5, 2],
    }
    assert read_csv(path, weight="z")["y"].tolist() == [3, 7]
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
            read_csv(path, targets, weight)
    with pytest.raises(DataError, match="line 2, column 'y': the cell is 'no', expected a finite number"):
        read_csv(written(tmp_path, "a,y,z\n1,no,2\n"), ["y", "z"])
    with pytest.raises(ConfigurationError, match="weight='w' names a column"):
        load_dataset("digits", weight="w")
