"""`load_dataset`: loads training, validation and test data by name or path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...backends.errors import ConfigurationError, DataError
from ..storage.files import expanded
from ..values import is_count
from .dataset import Dataset
from .idx import read_fashion_mnist
from .npy import read_npy, read_npz
from .splits import Splits
from .splitting import check_order, split
from .text import PYTHON, read_text

TABLES = (".csv", ".tsv", ".parquet")
NAMED = ("digits", "fashion-mnist", PYTHON)
_DIGITS = "sklearn/datasets/data/digits.csv.gz"
_NAMES = tuple(f"{name}{part}" for part in ("", "_train", "_validation", "_test") for name in ("x", "y", "weight"))


def load_dataset(
    source: Any,
    *,
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.2,
    target: str | Sequence[str] | None = None,
    weight: str | None = None,
    drop: Sequence[str] = (),
    categorical: Sequence[str] = (),
    categories: int = 20,
    missing: Literal["error", "mean", "drop"] = "error",
    separator: str = "",
    decimal: str = "",
    encoding: str = "",
    labels: str = "auto",
    folder: str | os.PathLike[str] | None = None,
    fetch: bool = False,
    length: int = 64,
) -> Splits:
    """Load a data set and split it into training, validation and test parts.

    Parameters
    ----------
    source : one of

        - ``"digits"``: scikit-learn's 1797 handwritten digits of 8 × 8 pixels, x (n, 64) float32 from 0 to 1;
        - ``"fashion-mnist"``: x (n, 784) uint8, the official test set;
        - a ``.npz`` file with arrays ``x`` and ``y`` (or ``x_train`` and ``y_train``), and, where the parts are
          given, ``x_validation``, ``y_validation``, ``x_test``, ``y_test``; ``weight`` holds sample weights, and
          ``feature_names`` names the columns of x;
        - a table: a ``.csv``, ``.tsv`` or ``.parquet`` file, or a data frame (pandas, Polars, PyArrow), with named
          columns of numbers, truth values and categories, one of them the target; x is float64;
        - a ``.txt`` file, or ``"python-source"``, the source of Python's own module argparse: each row of x is a
          stretch of `length` characters as numbers, y the characters after them, `Splits.classes` the alphabet;
        - a folder with ``x.npy``, ``y.npy`` and the rest named as above, or its ``x.npy``: x stays memory-mapped.
    seed : decides the random split, 0 to 2³² - 1.
    validation, test : the fractions of all rows to set aside, 0 for none. A part that the source has itself is
        taken as it is. The split is random, and stratified where y holds labels. Memory-mapped data are not
        shuffled, as that would copy them: the last rows are for testing and those before them for validation.
    target : the name of the target column of a table, by default the last; or the names of several, which hold values.
    weight : the name of the column of a table that holds the rows' weights.
    drop : names of columns of a table to leave out, such as row numbers and dates.
    categorical : names of columns of a table that hold categories although they look like numbers. Text is always
        categories. Each category becomes a feature that is 0 or 1; `Splits.preparation` describes each column.
    categories : the most categories of a column; more are refused.
    missing : missing values of a table: ``"error"`` refuses them by row and column; ``"mean"`` replaces numbers with
        the mean of the training rows, and counts missing categories as none; ``"drop"`` leaves such rows out.
    separator, decimal, encoding : how a ``.csv`` file is written; by default found (`encoding`: UTF-8 or UTF-16).
    labels : ``"classes"`` takes y as labels, ``"values"`` as numbers to predict. ``"auto"`` takes strings and
        integers (dtype bool or integer; in a table at most 100 different ones) as labels. Labels
        become 0 … k-1 in sorted order, and `Splits.classes` holds what they were.
    folder, fetch : for Fashion-MNIST, where its files are, and whether to download them if they are nowhere.
    length : characters per row, for text sources.

    Raises
    ------
    DataError
        The source is missing, broken, hostile, or no usable data set; the message says what was expected.
    ConfigurationError
        An argument is out of range or does not belong to this source.

    Examples
    --------
    >>> data = gs.load_dataset("digits", seed=0)
    >>> data.train.x.shape, data.test.y.shape
    ((1258, 64), (359,))
    """
    _check_arguments(seed, validation, test, labels, length)
    _check_names(source, target, weight, folder)
    frame = len(getattr(source, "shape", ())) == 2
    path = Path("data frame") if frame else expanded(os.fspath(source))
    given, source = source, "the data frame" if frame else os.fspath(source)
    kind = source if source in NAMED else "folder" if source and path.is_dir() else path.suffix.lower()
    kind = "table" if frame or kind in TABLES else kind
    of_tables = {"target": target, "weight": weight, "drop": drop, "categorical": categorical}
    for name, column in of_tables.items():
        if column and kind != "table":
            raise ConfigurationError(
                f"{name}={column!r} names a column of a .csv, .tsv or .parquet file or data frame, the source is "
                f"{source!r}"
            )
    if (folder is not None or fetch) and kind != "fashion-mnist":
        raise ConfigurationError(f"folder= and fetch= are for 'fashion-mnist', the source is {source!r}")

    if kind in (PYTHON, ".txt"):
        if labels == "values":
            raise ConfigurationError(f"labels='values', but the characters of {source!r} are classes")
        whole, alphabet = read_text(source, length)
        whole.classes = alphabet.tolist()
        parts = split(source, whole, {"validation": validation, "test": test}, seed, stratified=False)
        return Splits(**parts, classes=alphabet, name=source if kind in NAMED else path.stem)
    table = None
    if kind == "digits":
        arrays = _digits()
    elif kind == "fashion-mnist":
        arrays = read_fashion_mnist(folder, fetch)
    elif kind == ".npz":
        arrays = read_npz(path)
    elif kind == "table":
        from .table_source import MAX_CLASSES, TableOptions, load_table

        options = TableOptions(
            **of_tables, categories=categories, missing=missing, separator=separator, decimal=decimal, encoding=encoding
        )
        table = load_table(given if frame else path, options)
        arrays, y = table.arrays(), table.y
        if labels == "auto" and y.dtype == np.int64 and len(np.unique(y)) > MAX_CLASSES:
            labels = "values"
    elif kind in ("folder", ".npy"):
        arrays = _mapped(path)
    else:
        raise DataError(
            f"there is no data set {source!r}, expected {', '.join(map(repr, NAMED))}, a .npz, .csv, .tsv, .parquet or "
            ".txt file, a data frame, or a folder with x.npy and y.npy"
        )
    names = _feature_names(source, arrays.pop("feature_names", None))
    raw = _named_parts(source, arrays)
    classes = _class_values(source, raw["train"][1], labels)
    parts = {part: _dataset(source, part, x, y, weight, classes, names) for part, (x, y, weight) in raw.items()}
    fractions = {part: size for part, size in (("validation", validation), ("test", test)) if part not in parts}
    stratified = classes is not None and parts["train"].y.ndim == 1
    in_order = kind in ("folder", ".npy")
    parts |= split(source, parts["train"], fractions, seed, stratified=stratified, in_order=in_order)
    if stratified and classes is not None:
        check_order(source, parts, fractions, classes)
    if table is not None:
        parts = table.parts(parts)
    return Splits(**parts, classes=classes, name=source if kind in NAMED else path.stem)


def _check_arguments(seed: int, validation: float, test: float, labels: str, length: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ConfigurationError(f"seed={seed!r}, expected an integer from 0 to {2**32 - 1}")
    for name, fraction in (("validation", validation), ("test", test)):
        if not isinstance(fraction, int | float) or not 0 <= fraction < 1:
            raise ConfigurationError(f"{name}={fraction!r}, expected a fraction from 0 to below 1")
    if validation + test >= 1:
        raise ConfigurationError(f"validation={validation} and test={test} leave nothing to train on")
    if not is_count(length):
        raise ConfigurationError(f"length={length!r}, expected an integer of at least 1")
    if labels not in ("auto", "classes", "values"):
        raise ConfigurationError(f"labels={labels!r}, expected 'auto', 'classes' or 'values'")


def _check_names(source: Any, target: Any, weight: Any, folder: Any) -> None:
    for name, value in (("source", source), ("folder", "" if folder is None else folder)):
        table = name == "source" and len(getattr(value, "shape", ())) == 2
        if not table and not isinstance(value, str | os.PathLike):
            way_out = "; arrays need no load_dataset: give them to fit, or gs.Dataset" if name == "source" else ""
            raise ConfigurationError(f"{name} is a {type(value).__name__}, expected a name or a path{way_out}")
    for name, value in (("target", target), ("weight", weight)):
        several = value if name == "target" and isinstance(value, Sequence) else [value]
        if value is not None and not all(isinstance(column, str) for column in several):
            raise ConfigurationError(f"{name}={value!r}, expected the name of a column")


def _digits() -> dict[str, np.ndarray]:
    """scikit-learn's digits, read from its file: importing scikit-learn takes a second."""
    try:
        rows = np.loadtxt(str(distribution("scikit-learn").locate_file(_DIGITS)), delimiter=",", dtype=np.uint8)
    except OSError:  # another version may keep it elsewhere
        from sklearn.datasets import load_digits

        rows = np.column_stack([*map(np.asarray, load_digits(return_X_y=True))]).astype(np.uint8)
    return {"x": rows[:, :-1] / np.float32(16), "y": rows[:, -1].astype(np.int64)}


def _mapped(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a folder of `.npy` files (or of the folder of an `x.npy`); features are memory-mapped."""
    if not path.is_dir():
        if path.stem not in ("x", "x_train"):
            raise DataError(f"{path}: expected a file x.npy with y.npy beside it, or their folder")
        path = path.parent
    found = {name: path / f"{name}.npy" for name in _NAMES if (path / f"{name}.npy").is_file()}
    return {name: read_npy(file, mmap=name.startswith("x")) for name, file in found.items()}


def _feature_names(source: str, names: np.ndarray | None) -> list[str] | None:
    """The column names of a source, if it has any."""
    if names is None:
        return None
    if names.ndim != 1 or names.dtype.kind != "U" or len(np.unique(names)) < len(names):
        raise DataError(
            f"{source}: feature_names has shape {names.shape} and dtype {names.dtype}, expected one string for each "
            "column of x, each once"
        )
    return names.tolist()


def _named_parts(source: str, arrays: dict[str, np.ndarray]) -> dict[str, tuple[Any, Any, Any]]:
    """The arrays x, y and weight (or None) of each part: train and, if given, validation and test."""
    unknown = sorted(set(arrays) - set(_NAMES))
    if unknown:
        raise DataError(f"{source}: it holds an array {unknown[0]!r}, expected only {', '.join(_NAMES)}")
    parts = {}
    for suffix in ("", "_train", "_validation", "_test"):
        x, y, weight = (arrays.get(f"{name}{suffix}") for name in ("x", "y", "weight"))
        if x is not None and y is not None:
            if "train" in parts and suffix == "_train":
                raise DataError(f"{source}: it holds both x and x_train, expected one of them")
            parts[suffix.removeprefix("_") or "train"] = x, y, weight
        elif x is not None or y is not None or weight is not None:
            here, missing = ("x", "y") if x is not None else ("y", "x") if y is not None else ("weight", "x")
            raise DataError(f"{source}: it holds {here}{suffix} without {missing}{suffix}, expected both")
    if "train" not in parts:
        found = ", ".join(arrays) or "nothing"
        raise DataError(f"{source}: it holds {found}, expected arrays x and y (or x_train and y_train)")
    return parts


def _class_values(source: str, y: np.ndarray, labels: str) -> np.ndarray | None:
    """The different labels in sorted order, or None where y holds numbers to predict."""
    if y.dtype.kind == "U" and labels == "values":
        raise DataError(f"{source}: y holds text such as {y.flat[0].item()!r}, expected numbers with labels='values'")
    if labels == "values" or (labels == "auto" and y.dtype.kind == "f"):
        return None
    if y.ndim not in (1, 2) or y.shape[1:] == (1,) or y.dtype.kind not in "biufU":
        several = " or, of sequences, (n, tokens)" if y.ndim > 2 else ""
        way_out = "; save y.ravel()" if y.shape[1:] == (1,) else ""
        raise DataError(f"{source}: y has shape {y.shape} and dtype {y.dtype}, expected (n,) labels{several}{way_out}")
    if y.dtype.kind == "f":
        broken = y != np.rint(y)
        if broken.any():
            row = int(broken.reshape(len(y), -1).any(axis=1).argmax())
            raise DataError(f"{source}: y[{row}] is {y[row]}, expected an integer with labels='classes'")
    values = np.unique(y)
    if values.dtype.kind in "uf" and not -(2**63) <= values[0] <= values[-1] < 2**63:
        wrong = values[-1] if values[-1] >= 2**63 else values[0]
        raise DataError(f"{source}: y holds the label {wrong}, expected labels from -2⁶³ to 2⁶³ - 1")
    return values if values.dtype.kind == "U" else values.astype(np.int64)


def _dataset(
    source: str, part: str, x: Any, y: Any, weight: Any, classes: np.ndarray | None, names: list[str] | None
) -> Dataset:
    """One validated part, its labels replaced by their index in `classes`."""
    try:
        if classes is None:
            return Dataset(x, y.astype(np.float64) if y.dtype.kind in "biu" else y, weight, feature_names=names)
        if (y.dtype.kind == "U") != (classes.dtype.kind == "U"):
            raise DataError(f"y has dtype {y.dtype}, the labels of the training part {classes.dtype}, expected alike")
        places = np.searchsorted(classes, y).clip(max=len(classes) - 1)
        strange = classes[places] != y
        if strange.any():
            place = np.unravel_index(int(strange.argmax()), y.shape)
            row = ", ".join(map(str, place))
            raise DataError(f"y[{row}] is {y[place].item()!r}, a label that does not occur in the training part")
        return Dataset(x, places, weight, feature_names=names, classes=_class_names(classes))
    except DataError as error:
        raise DataError(f"{source}, {part} part: {error}") from None


def _class_names(classes: np.ndarray) -> list[int | str] | None:
    """The class names, or None if they are 0, 1, …"""
    names = classes.tolist()
    return None if names == list(range(len(names))) else names
