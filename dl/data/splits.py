"""`Splits`: a data set split into training, validation and test parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends.errors import DataError
from .dataset import Dataset, _blocks
from .moments import moments
from .names import matched


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set split into training, validation and test parts.

    Attributes
    ----------
    train, validation, test : `Dataset`; the last two may be None.
    classes : (k,) names of the labels 0 … k-1 in the source (integers or strings), or None for float targets.
    name : the source's name.

    Raises
    ------
    DataError
        The parts differ in the shape of a row, or in dtype.

    Examples
    --------
    >>> data = gs.load_dataset("digits", validation=0.2, test=0, seed=0)
    >>> len(data.train), len(data.validation), data.test
    (1438, 359, None)
    """

    # `Any` instead of `Dataset | None`: callers that asked for a part need not check for None
    train: Dataset
    validation: Any = None
    test: Any = None
    classes: Any = None
    name: str = ""

    def __post_init__(self) -> None:
        for part in ("validation", "test"):
            data = getattr(self, part)
            if data is None:
                continue
            if (data.x.shape[1:], data.x.dtype) != (self.feature_shape, self.train.x.dtype):
                raise DataError(
                    f"the rows of x are {data.x.shape[1:]} {data.x.dtype} in the {part} part, expected "
                    f"{self.feature_shape} {self.train.x.dtype} as in the training part"
                )

    def matched(self, feature_names: Sequence[str] | None, classes: Sequence[int | str] | None) -> Splits:
        """The same parts with columns and labels in the order of these names; None accepts any order.

        Raises
        ------
        DataError
            The data have different names.
        """
        found = None if self.classes is None else self.classes.tolist()

        def own(part: Dataset | None) -> Any:
            if part is None:
                return None
            named = part[:]
            named.classes = found
            return matched(named, feature_names, classes)

        parts = {name: own(getattr(self, name)) for name in ("train", "validation", "test")}
        names = self.classes if found is None or classes is None else np.array(classes)
        return Splits(**parts, classes=names, name=self.name)

    @property
    def preparation(self) -> Any:
        """How the features were made of a table's columns; prints as a table. None for other data."""
        return self.train.preparation

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """The shape of one row of x."""
        return self.train.x.shape[1:]

    def summary(self) -> str:
        """One line: the task and the number of rows of each part."""
        width = " × ".join(map(str, self.feature_shape))
        target = "values to predict" if self.classes is None else f"{len(self.classes)} classes"
        parts = [("validation", self.validation), ("the test", self.test)]
        aside = ", ".join(f"{len(data):,} for {part}" for part, data in parts if data is not None)
        return f"{self.name}: {len(self.train):,} rows of {width}, {target}; " + (aside or "none aside")

    def standardization(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each training feature, float64, shaped like one row of x.

        They are those of scikit-learn's `StandardScaler`. Blocks of rows are read one after the other, so a memory map
        is never loaded whole. A feature that does not vary gets the standard deviation 1.

        Raises
        ------
        DataError
            A feature's variance overflows.
        """
        blocks = (block.reshape(len(block), -1).astype(np.float64) for _, block in _blocks(self.train.x))
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            mean, scale = moments(blocks)
        broken = ~(np.isfinite(mean) & np.isfinite(scale))
        if broken.any():
            column = int(broken.argmax())
            raise DataError(f"x: column {column} is too large to be squared, expected numbers of finite variance")
        return mean.reshape(self.feature_shape), scale.reshape(self.feature_shape)
