"""`Dataset`: validated features, targets and sample weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...backends.errors import DataError
from .arrays import check_kind, float_type, plain, read

_BLOCK = 1 << 21  # numbers looked at together: 16 MiB of float64


class Dataset:
    """Features and optional targets and sample weights, validated once on construction.

    NumPy arrays, lists, data frames (pandas, Polars, PyArrow), and whatever offers DLPack or ``__array__`` (PyTorch and
    JAX arrays on the CPU) may have any layout and byte order. They are kept C-contiguous and in native byte order, and
    copied only where they are not. CuPy arrays stay on their device.

    Parameters
    ----------
    x : (n, …) features, at least one row. uint8, float32 and float64 keep their dtype; bool, float16 and other
        integers become float32 (so integers beyond 2²⁴ are rounded), wider floats float64. A data frame whose columns
        differ in dtype takes the one that holds them all. A C-contiguous memory map of uint8, float32 or float64 stays
        mapped; any other is read into memory whole, if there is as much free.
    y : None, (n,) or (n, k) integers, labels or numbers, kept as contiguous int64 (as float64 where they are beyond
        it), or (n,) or (n, k) float targets, kept as float32 or float64. A tuple of arrays is put side by side, as
        float64: the targets of a `JointLoss`. The loss checks whether integers are valid labels.
    weight : None, or (n,) non-negative sample weights, not all 0. Losses are weighted means, so only the ratios
        matter.
    feature_names : names of the columns of x; by default those of the data frame that x is, if they are text.
    classes : names of the labels 0, 1, … in y, as `load_dataset` returns them. Training stores both kinds of names in
        the model; later data are matched to them.

    Raises
    ------
    DataError
        There are no rows, the lengths differ, a number is NaN or infinite, a value is missing, or the arrays hold
        objects, text, dates or complex numbers. The message names the array, the value and what was expected.

    Examples
    --------
    >>> gs.Dataset(np.zeros((5, 3)), [0, 1, 0, 1, 1]).y.dtype
    dtype('int64')
    """

    __slots__ = ("classes", "feature_names", "preparation", "weight", "x", "y")

    x: Any
    y: Any
    weight: Any
    feature_names: list[str] | None
    classes: list[int | str] | None
    preparation: Any
    """How x was made of a table's columns (`Preparation`), or None; training stores it in the model."""

    def __init__(
        self,
        x: Any,
        y: Any = None,
        weight: Any = None,
        *,
        feature_names: Sequence[str] | None = None,
        classes: Sequence[int | str] | None = None,
    ) -> None:
        array, names = read("x", x)
        self.feature_names = names if feature_names is None else list(feature_names)
        self.classes = None if classes is None else list(classes)
        self.preparation = None
        self.x = _features(array)
        self.y = None if y is None else _targets(_side_by_side(y) if _are_parts(y) else read("y", y)[0])
        self.weight = None if weight is None else _weights(read("weight", weight)[0])
        if self.feature_names is not None and self.x.shape[1:] != (len(self.feature_names),):
            raise DataError(f"x has rows of shape {self.x.shape[1:]} and {len(self.feature_names)} feature names")
        for name, array in (("y", self.y), ("weight", self.weight)):
            if array is not None and len(array) != len(self.x):
                raise DataError(f"{name} has {len(array)} rows and x has {len(self.x)}, expected as many")
        for name, array in (("x", self.x), ("y", self.y), ("weight", self.weight)):
            if array is not None:
                _check_finite(name, array, self.feature_names if name == "x" else None)
        most = -1 if self.classes is None or self.y is None or self.y.dtype.kind != "i" else int(self.y.max())
        if self.classes is not None and most >= len(self.classes):
            raise DataError(f"y has the label {most}, and classes has {len(self.classes)} names; expected one for each")
        if self.weight is not None and not (bool((self.weight >= 0).all()) and bool(self.weight.sum() > 0)):
            raise DataError(f"weight contains {self.weight.min()}; weights must be non-negative and not all zero")

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> Dataset:
        """The rows of a slice (views where its step is 1), an index array or a boolean mask (copies) as a `Dataset`."""
        if isinstance(rows, int | np.integer):
            raise TypeError(f"dataset[{rows}] is one row, expected a slice or an array: dataset[{rows}:{rows + 1}]")
        part = object.__new__(Dataset)  # the rows are already validated
        for name in ("x", "y", "weight"):
            array = getattr(self, name)
            setattr(part, name, None if array is None else plain(name, array[rows], array.dtype))
        part.feature_names, part.classes, part.preparation = self.feature_names, self.classes, self.preparation
        if len(part) == 0:
            raise DataError(f"dataset[{rows}] has no rows, expected at least one of {len(self)}")
        return part

    def __repr__(self) -> str:
        named = ("x", self.x), ("y", self.y), ("weight", self.weight)
        parts = [f"{name}={_described(array)}" for name, array in named if array is not None]
        return f"Dataset({', '.join(parts)})"

    def sample(self, rows: int, seed: int = 0) -> Dataset:
        """A random sample of at most `rows` rows, in their original order; all rows if there are no more.

        The first rows would not be representative of a sorted file.
        """
        if rows >= len(self):
            return self
        return self[np.sort(np.random.default_rng(seed).choice(len(self), rows, replace=False))]

    def on_host(self, name: str) -> np.ndarray:
        """One of the arrays as a NumPy array."""
        array = getattr(self, name)
        return array if isinstance(array, np.ndarray) else array.get()

    def with_targets(self, y: Any) -> Dataset:
        """The same rows with other targets, which are not validated."""
        other = self[:]
        other.y = y
        return other

    def check_labels(self, classes: int, ignored: int | None = None) -> None:
        """Raise `DataError` unless every target is a label from 0 to `classes` - 1 or `ignored`, naming the first."""
        if self.y is None or self.y.dtype.kind != "i":
            found = "missing" if self.y is None else _described(self.y)
            raise DataError(f"y is {found}, expected (n,) integer labels from 0 to {classes - 1}{labels_of(self.y)}")
        wrong = (self.y < 0) | (self.y >= classes)
        if ignored is not None:
            wrong &= self.y != ignored
        if bool(wrong.any()):
            place = np.unravel_index(int(wrong.argmax()), self.y.shape)
            index = ", ".join(str(int(i)) for i in place)
            raise DataError(
                f"y[{index}] is {self.y[place]}, expected a label from 0 to {classes - 1}; "
                "numpy.unique(y, return_inverse=True)[1] numbers the classes from 0 on"
            )

    def check_categories(self, count: int) -> None:
        """Raise `DataError` unless x holds integers from 0 to `count` - 1 alone, naming the first that is not."""
        for start, block in _blocks(self.x):
            wrong = (block < 0) | (block >= count) | (block != block // 1)
            if bool(wrong.any()):
                row, *rest = (int(index) for index in np.unravel_index(int(wrong.argmax()), block.shape))
                value = float(block[(row, *rest)])
                index = ", ".join(map(str, (start + row, *rest)))
                raise DataError(f"x[{index}] is {value:g}, expected an integer from 0 to {count - 1}")


def labels_of(y: Any) -> str:
    """Advice for the end of a message: how to turn these targets into labels, or which loss accepts them."""
    if y is None:
        return ""
    if y.ndim == 2 and y.shape[1] > 1:
        return "; for one-hot rows use y.argmax(axis=1), or SoftCrossEntropyLoss, which takes them as float targets"
    if bool((y == y.round()).all()):
        return f"; use y{'.ravel()' if y.ndim == 2 else ''}.astype(int)"
    return "; to predict numbers use MSELoss"


def as_dataset(data: Any, y: Any = None) -> Dataset:
    """Make a `Dataset` of one (returned as it is), a tuple (x, y) or (x, y, weight), or arrays `data` and `y`."""
    if isinstance(data, Dataset):
        if y is not None:
            raise DataError("y is given beside a Dataset, expected a Dataset that contains y")
        return data
    if isinstance(data, tuple):
        if len(data) not in (2, 3) or y is not None:
            raise DataError(
                f"the data are {len(data)} arrays in a tuple, expected (x, y) or (x, y, weight), and no other y"
            )
        return Dataset(*data)
    return Dataset(data, y)


def _features(x: Any) -> Any:
    check_kind("x", x, "numbers")
    if x.ndim < 2 or 0 in x.shape:
        alone = "; for one feature use x.reshape(-1, 1), for one row x.reshape(1, -1)" if x.ndim == 1 else ""
        expected = "(n, features) or (n, …)" if x.ndim < 2 else "at least one row and one feature"
        raise DataError(f"x has shape {x.shape}, expected {expected}{alone}")
    return plain("x", x, np.uint8 if x.dtype == np.uint8 else float_type(x.dtype))


def _are_parts(y: Any) -> bool:
    return isinstance(y, tuple) and bool(y) and all(hasattr(part, "shape") and len(part.shape) > 0 for part in y)


def _side_by_side(parts: tuple[Any, ...]) -> np.ndarray:
    rows = {len(part) for part in parts}
    if len(rows) > 1:
        raise DataError(f"the parts of y have {', '.join(str(len(part)) for part in parts)} rows, expected as many")
    return np.column_stack([plain("y", read("y", part)[0], np.float64) for part in parts])


def _targets(y: Any) -> Any:
    check_kind(
        "y",
        y,
        "integer labels or float targets (load_dataset converts strings to labels, and so does "
        "classes, y = numpy.unique(y, return_inverse=True))",
    )
    if y.dtype.kind == "f":
        if y.ndim not in (1, 2) or 0 in y.shape:
            raise DataError(f"y has shape {y.shape}, expected (n,) or (n, k) float targets")
        return plain("y", y, float_type(y.dtype))
    if y.ndim not in (1, 2) or 0 in y.shape:
        raise DataError(
            f"y has shape {y.shape} and dtype {y.dtype}, expected (n,) or (n, k) integer labels, or float targets"
        )
    if (y.dtype.kind, y.dtype.itemsize) == ("u", 8) and bool((y > np.iinfo(np.int64).max).any()):
        return plain("y", y, np.float64)
    return plain("y", y, np.int64)


def _weights(weight: Any) -> Any:
    check_kind("weight", weight, "numbers")
    if weight.ndim != 1 or len(weight) == 0:
        raise DataError(f"weight has shape {weight.shape}, expected (n,) numbers, one a row")
    return plain("weight", weight, np.float64)


def _check_finite(name: str, array: Any, columns: list[str] | None) -> None:
    if array.dtype.kind != "f":
        return
    for start, block in _blocks(array):
        finite = np.isfinite(block)  # with the array's own module
        if not bool(finite.all()):
            place = np.unravel_index(int((~finite).argmax()), block.shape)
            value = float(block[place])
            row, *rest = (int(index) for index in place)
            index = ", ".join(str(i) for i in (start + row, *rest))
            column = repr(columns[rest[0]]) if columns else ", ".join(map(str, rest))
            where = f"row {start + row}" + (f", column {column}" if rest else "")
            raise DataError(f"{name}[{index}] is {value} ({where}), expected finite numbers")


def _blocks(array: Any) -> Iterator[tuple[int, Any]]:
    """Blocks of rows, each with the index of its first row."""
    rows = max(1, _BLOCK * len(array) // array.size)
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]


def _described(array: Any) -> str:
    return f"{tuple(array.shape)} {array.dtype}"
