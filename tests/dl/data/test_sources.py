"""load_dataset: digits, Fashion-MNIST and the user's own files, split and labelled."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gearshift.backends.errors import ConfigurationError, DataError
from gearshift.dl.data import Splits, load_dataset, sources

PARTS = ("train", "validation", "test")


def rows_of(splits: Splits, x: np.ndarray) -> dict[str, set[int]]:
    """For each part the rows of `x` it consists of, told by a first feature that differs in every row."""
    where = {value: row for row, value in enumerate(x[:, 0].tolist())}
    return {part: {where[v] for v in getattr(splits, part).x[:, 0].tolist()} for part in PARTS}


def table(n: int = 40, classes: int = 4):
    """Features that name their row, and labels that depend on it."""
    x = np.stack([np.arange(n), np.arange(n) % classes], axis=1).astype(np.float32)
    return x, np.arange(n) % classes


# ---- digits ----------------------------------------------------------------------------------------------------


def test_digits_sizes_types_and_classes():
    data = load_dataset("digits", seed=0)
    assert (len(data.train), len(data.validation), len(data.test)) == (1258, 180, 359)
    assert data.name == "digits" and data.feature_shape == (64,) and data.classes.tolist() == list(range(10))
    for part in PARTS:
        x, y = getattr(data, part).x, getattr(data, part).y
        assert x.dtype == np.float32 and x.shape[1:] == (64,) and y.dtype == np.int64
        assert x.min() == 0 and x.max() == 1 and x.flags.c_contiguous


def test_digits_are_stratified_disjoint_and_complete():
    x, y = load_digits(return_X_y=True)
    data = load_dataset("digits", seed=3)
    for part in PARTS:
        found = getattr(data, part).y
        expected = np.bincount(y) * len(found) / len(y)
        assert abs(np.bincount(found) - expected).max() <= 1.5
    parts = [np.column_stack([d.x * 16, d.y]) for d in (data.train, data.validation, data.test)]
    original = np.column_stack([x, y])
    assert sorted(np.concatenate(parts).tolist()) == sorted(original.tolist())  # every row once


@pytest.mark.parametrize("place", [sources._DIGITS, "sklearn/nowhere.csv.gz"])
def test_digits_are_those_of_scikit_learn_wherever_it_keeps_them(monkeypatch, place):
    monkeypatch.setattr(sources, "_DIGITS", place)
    x, y = load_digits(return_X_y=True)
    data = load_dataset("digits", validation=0, test=0).train
    assert data.x.tobytes() == (x / 16).astype(np.float32).tobytes() and data.y.tolist() == y.tolist()


def test_the_seed_decides_the_split():
    one, same, other = (load_dataset("digits", seed=seed) for seed in (1, 1, 2))
    for part in PARTS:
        np.testing.assert_array_equal(getattr(one, part).x, getattr(same, part).x)
    assert not np.array_equal(one.test.x, other.test.x)


@pytest.mark.parametrize(("validation", "test"), [(0, 0), (0.2, 0), (0, 0.5), (0.5, 0.2)])
def test_fractions_are_of_all_rows(tmp_path, validation, test):
    x, y = table()
    np.savez(tmp_path / "d.npz", x=x, y=y)
    data = load_dataset(tmp_path / "d.npz", validation=validation, test=test)
    assert len(data.train) == round(40 * (1 - validation - test))
    for part, fraction in (("validation", validation), ("test", test)):
        if fraction == 0:
            assert getattr(data, part) is None
        else:
            assert np.bincount(getattr(data, part).y).tolist() == [fraction * 10] * 4


# ---- Fashion-MNIST ---------------------------------------------------------------------------------------------


@pytest.mark.fashion
def test_fashion_mnist():
    try:
        data = load_dataset("fashion-mnist", seed=0)
    except DataError as error:
        pytest.skip(str(error))
    assert (len(data.train), len(data.validation), len(data.test)) == (54_000, 6_000, 10_000)
    assert data.train.x.dtype == np.uint8 and data.feature_shape == (784,) and data.train.y.dtype == np.int64
    assert np.bincount(data.train.y).tolist() == [5400] * 10 and np.bincount(data.test.y).tolist() == [1000] * 10
    assert data.test.y[:8].tolist() == [9, 2, 1, 1, 6, 1, 4, 6]
    mean, std = data.standardization()
    assert mean.mean() / 255 == pytest.approx(0.2860, abs=1e-3)  # the published mean over all pixels
    np.testing.assert_allclose(mean, data.train.x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(std, data.train.x.std(0), rtol=1e-9)


# ---- .npz ------------------------------------------------------------------------------------------------------


def test_npz_split_is_disjoint_and_keeps_rows_with_their_labels(tmp_path):
    x, y = table()
    np.savez(tmp_path / "own.npz", x=x, y=y)
    data = load_dataset(tmp_path / "own.npz", seed=5)
    rows = rows_of(data, x)
    assert sorted(row for part in PARTS for row in rows[part]) == list(range(40))
    for part in PARTS:
        d = getattr(data, part)
        np.testing.assert_array_equal(d.x[:, 1], d.y)
    assert data.name == "own" and data.train.x.dtype == np.float32


def test_npz_parts_of_its_own_are_taken_as_they_are(tmp_path):
    x, y = table()
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:5] + 100, y_test=y[:5])
    data = load_dataset(str(tmp_path / "d.npz"))
    np.testing.assert_array_equal(data.test.x, x[:5] + 100)
    assert len(data.validation) == 4 and len(data.train) == 36
    np.savez(tmp_path / "d.npz", x=x, y=y, x_test=x, y_test=y, x_validation=x[:2], y_validation=y[:2])
    data = load_dataset(tmp_path / "d.npz")
    np.testing.assert_array_equal(data.train.x, x)
    assert (len(data.validation), len(data.test)) == (2, 40)


@pytest.mark.parametrize(
    ("y", "labels", "classes"),
    [
        (np.array([5, -1, 9] * 10), "auto", [-1, 5, 9]),
        (np.array([0, 1, 3] * 10, np.uint8), "classes", [0, 1, 3]),
        (np.array(["dog", "cat", "ant"] * 10), "auto", ["ant", "cat", "dog"]),
        (np.array([2.0, 4.0, 8.0] * 10), "classes", [2, 4, 8]),
        (np.array([True, False, True] * 10), "auto", [0, 1]),
    ],
)
def test_labels_are_numbered_in_sorted_order(tmp_path, y, labels, classes):
    np.savez(tmp_path / "d.npz", x=table(30)[0], y=y)
    data = load_dataset(tmp_path / "d.npz", labels=labels)
    assert data.classes.tolist() == classes
    for part in PARTS:
        d = getattr(data, part)
        assert d.y.dtype == np.int64
        np.testing.assert_array_equal(data.classes[d.y], y[d.x[:, 0].astype(int)])


@pytest.mark.parametrize(
    ("y", "labels"),
    [(np.arange(30) / 7, "auto"), (np.arange(30), "values"), (np.ones((30, 2), np.float32), "auto")],
)
def test_values_to_predict(tmp_path, y, labels):
    np.savez(tmp_path / "d.npz", x=table(30)[0], y=y)
    data = load_dataset(tmp_path / "d.npz", labels=labels)
    assert data.classes is None and data.train.y.dtype == (y.dtype if y.dtype.kind == "f" else np.float64)
    np.testing.assert_array_equal(data.test.y, y[data.test.x[:, 0].astype(int)])


def test_weights_of_rows(tmp_path):
    x, y = table(30, 3)
    np.savez(tmp_path / "d.npz", x=x, y=y, weight=x[:, 0] + 1)
    data = load_dataset(tmp_path / "d.npz")
    for part in PARTS:
        np.testing.assert_array_equal(getattr(data, part).weight, getattr(data, part).x[:, 0] + 1)


@pytest.mark.parametrize("text", ["abcabcabcabca", "añ→😀" * 6])
def test_a_text_is_stretches_of_characters_and_what_follows_each(tmp_path, text):
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    data = load_dataset(tmp_path / "t.txt", length=4, validation=0.3, test=0)
    assert data.classes.tolist() == sorted(set(text)) and data.name == "t" and data.test is None
    rows = [
        "".join(data.classes[[*x, y[-1]]])
        for part in (data.train, data.validation)
        for x, y in zip(part.x, part.y, strict=True)
        if part.x.dtype == np.uint8 and x[1:].tolist() == y[:-1].tolist()
    ]
    assert sorted(rows) == sorted(text[first : first + 5] for first in range(0, len(text) - 4, 4))


def test_a_text_that_is_none(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"ab\xff")
    with pytest.raises(DataError, match="not UTF-8 text: byte 2 is 0xff"):
        load_dataset(tmp_path / "t.txt")
    (tmp_path / "t.txt").write_text("abcd")
    with pytest.raises(DataError, match="4 characters, expected more than length=4"):
        load_dataset(tmp_path / "t.txt", length=4)
    with pytest.raises(ConfigurationError, match="labels='values', but the characters"):
        load_dataset(tmp_path / "t.txt", labels="values")
    assert len(load_dataset("python-source").classes) > 60


X, Y = table()


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"x": X}, {}, "holds x without y, expected both"),
        ({"x": X, "y": Y, "y_test": Y}, {}, "holds y_test without x_test"),
        ({"x": X, "y": Y, "x_train": X, "y_train": Y}, {}, "holds both x and x_train"),
        ({"x": X, "y": Y, "x_valid": X}, {}, "holds an array 'x_valid', expected only x, y, weight, x_train"),
        ({"x_test": X, "y_test": Y}, {}, r"holds x_test, y_test, expected arrays x and y \(or x_train"),
        ({"x": X, "y": Y[:-1]}, {}, "train part: y has 39 rows and x has 40"),
        ({"x": X, "y": Y, "weight_test": Y}, {}, "holds weight_test without x_test"),
        ({"x": X, "y": Y, "weight": -1.0 * Y}, {}, "train part: weight contains -3"),
        ({"x": X[:0], "y": Y[:0]}, {}, r"train part: x has shape \(0, 2\)"),
        ({"x": np.where(X == 7, np.nan, X), "y": Y}, {}, r"train part: x\[7, 0\] is nan"),
        ({"x": X, "y": Y + 1j}, {}, r"y has shape \(40,\) and dtype complex128"),
        ({"x": X, "y": Y[:, None]}, {}, r"y has shape \(40, 1\) and dtype int64, expected \(n,\) labels"),
        ({"x": X, "y": Y + 0.5}, {"labels": "classes"}, r"y\[0\] is 0.5, expected an integer"),
        ({"x": X, "y": Y * np.nan}, {"labels": "classes"}, r"y\[0\] is nan"),
        ({"x": X, "y": Y.astype(str)}, {"labels": "values"}, "holds text such as '0', expected numbers"),
        (
            {"x": X, "y": Y, "x_test": X, "y_test": Y + 1},
            {},
            r"test part: y\[3\] is 4, a label that does not occur in the training",
        ),
        ({"x": X, "y": Y, "x_test": X, "y_test": Y.astype(str)}, {}, "test part: y has dtype <U"),
        ({"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y}, {}, r"\(1,\) float32 in the test part"),
        ({"x": X, "y": np.arange(40)}, {}, "no split sets aside 8 rows for test with every class"),
        ({"x": X[:2], "y": Y[:2]}, {"test": 0.5, "validation": 0.4}, "too few rows, 2 in all"),
    ],
)
def test_npz_files_that_are_no_data_set(tmp_path, arrays, options, message):
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(tmp_path / "d.npz", **options)
    if "part" not in message or ":" in message:
        assert "d.npz" in str(caught.value)


# ---- .csv ------------------------------------------------------------------------------------------------------


def csv_file(tmp_path, targets) -> str:
    path = tmp_path / "d.csv"
    lines = [f"{row},{row * 0.5},{target}" for row, target in enumerate(targets)]
    path.write_text("\n".join(["a,b,kind", *lines]))
    return str(path)


def test_csv_classes(tmp_path):
    data = load_dataset(csv_file(tmp_path, ["no", "yes"] * 10))
    assert data.classes.tolist() == ["no", "yes"] and data.feature_shape == (2,)
    for part in PARTS:
        d = getattr(data, part)
        np.testing.assert_array_equal(d.y, d.x[:, 0] % 2)
    other = load_dataset(csv_file(tmp_path, [3, 8] * 10), target="kind")
    assert other.classes.tolist() == [3, 8]


def test_csv_values(tmp_path):
    assert load_dataset(csv_file(tmp_path, np.arange(20) / 8)).classes is None
    assert load_dataset(csv_file(tmp_path, [3, 8] * 10), labels="values").classes is None
    many = load_dataset(csv_file(tmp_path, np.arange(101)))
    assert many.classes is None and many.train.y.dtype == np.float64
    assert len(load_dataset(csv_file(tmp_path, list(range(100)) * 10)).classes) == 100
    with pytest.raises(DataError, match="holds text such as 'a'"):
        load_dataset(csv_file(tmp_path, "ab" * 9), labels="values")


# ---- memory-mapped .npy ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    return tmp_path


@pytest.mark.parametrize("file", ["", "x.npy"])
def test_mapped_rows_stay_where_they_are(folder, file):
    data = load_dataset(folder / file, validation=0.1, test=0.2)
    for part, rows in (("train", slice(28)), ("validation", slice(28, 32)), ("test", slice(32, 40))):
        d = getattr(data, part)
        assert isinstance(d.x, np.memmap) and d.x.base is not None
        np.testing.assert_array_equal(d.x, X[rows])
        np.testing.assert_array_equal(d.y, Y[rows])
    mean, std = data.standardization()
    np.testing.assert_allclose(mean, X[:28].mean(0))
    np.testing.assert_allclose(std, X[:28].std(0), rtol=1e-6)


def test_mapped_parts_of_their_own(folder):
    np.save(folder / "x_test.npy", X[:4])
    np.save(folder / "y_test.npy", Y[:4])
    data = load_dataset(folder, validation=0)
    assert len(data.train) == 40 and data.validation is None
    assert isinstance(data.test.x, np.memmap) and len(data.test) == 4


def test_mapped_rows_that_are_sorted_are_refused(folder):
    np.save(folder / "y.npy", np.sort(Y))
    with pytest.raises(DataError, match="no row of class 3 is in the training part; are the rows sorted"):
        load_dataset(folder, validation=0.1, test=0.2)


def test_mapped_rows_whose_last_class_alone_would_be_the_test_are_refused(folder):
    """Sorted, and every class is in the training part: the last one is the test part alone."""
    np.save(folder / "x.npy", np.zeros((300, 4), np.float32))
    np.save(folder / "y.npy", np.repeat([0, 1], 150))
    with pytest.raises(DataError, match="no row of class 0 is in the test part; are the rows sorted"):
        load_dataset(folder, validation=0, test=0.2)


def test_folders_that_are_no_data_set(folder, tmp_path):
    with pytest.raises(DataError, match=r"expected a file x\.npy with y\.npy beside it, or their folder"):
        load_dataset(folder / "y.npy")
    (folder / "y.npy").unlink()
    with pytest.raises(DataError, match="holds x without y"):
        load_dataset(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds nothing, expected arrays x and y"):
        load_dataset(tmp_path / "empty")


# ---- arguments -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["mnist", "none.dat", ""])
def test_unknown_sources(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError, match=r"there is no data set .*, expected 'digits', 'fashion-mnist', 'python-source', a \.npz"
    ):
        load_dataset(source)


@pytest.mark.parametrize("name", ["none.npz", "none.csv", "none.txt", "none/x.npy"])
def test_missing_files(tmp_path, name):
    with pytest.raises(DataError):
        load_dataset(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed=-1, expected an integer from 0 to 4294967295"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"seed": True}, "seed=True"),
        ({"test": 1}, "test=1, expected a fraction"),
        ({"validation": -0.1}, "validation=-0.1, expected a fraction"),
        ({"validation": "0.1"}, "validation='0.1', expected a fraction"),
        ({"validation": float("nan")}, "validation=nan, expected a fraction"),
        ({"validation": 0.5, "test": 0.5}, "leave nothing to train on"),
        ({"labels": "text"}, "labels='text', expected 'auto', 'classes' or 'values'"),
        (
            {"target": "y"},
            r"target='y' names a column of a \.csv, \.tsv or \.parquet file or data frame, the source is 'digits'",
        ),
        ({"folder": "."}, "folder= and fetch= are for 'fashion-mnist', the source is 'digits'"),
        ({"length": 0}, "length=0, expected an integer of at least 1"),
        ({"fetch": True}, "folder= and fetch= are for 'fashion-mnist'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ConfigurationError, match=message):
        load_dataset("digits", **options)
