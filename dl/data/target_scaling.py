"""`TargetScaling`: standardises regression targets, and scales predictions back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ...backends.errors import ConfigurationError, DataError, ShapeError

_BLOCK = 1 << 20  # targets read together: 8 MiB of float64


@dataclass(frozen=True, eq=False)
class TargetScaling:
    """Standardises target columns: (y − mean) / scale, in float64 on the host.

    A model with a `target_scaling` learns scaled targets. `Trainer.fit` and `Trainer.evaluate` accept unscaled
    targets, and `Trainer.predict` returns predictions in their units. The scaling is saved with the model.

    >>> model = gs.Sequential(gs.Linear(3, 64), gs.ReLU(), gs.Linear(64, 1))
    >>> model.target_scaling = gs.TargetScaling.of(y_train)
    >>> trainer = gs.Trainer(model, gs.MSELoss(), gs.Adam())
    >>> trainer.fit(x_train, y_train, epochs=20)
    >>> prices = trainer.predict(x_test)

    Parameters
    ----------
    mean, scale : (columns,) of the targets; `scale` is above 0.

    Raises
    ------
    ConfigurationError
        They are not finite numbers of one length, or a scale is not above 0.
    """

    mean: np.ndarray
    scale: np.ndarray

    def __post_init__(self) -> None:
        for name in ("mean", "scale"):
            given = getattr(self, name)
            try:
                array = np.array(given, dtype=np.float64).reshape(-1)
            except (TypeError, ValueError):
                raise ConfigurationError(f"TargetScaling: {name} is {given!r}; expected numbers (columns,)") from None
            if not array.size or not np.isfinite(array).all():
                raise ConfigurationError(f"TargetScaling: {name} is {given!r}; expected finite numbers (columns,)")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if len(self.mean) != len(self.scale) or not (self.scale > 0).all():
            raise ConfigurationError(
                f"TargetScaling: scale is {self.scale.tolist()}; expected {len(self.mean)} numbers above 0"
            )

    @classmethod
    def of(cls, y: Any, weight: Any = None, *, numbers: Any = True) -> Self:
        """The mean and the standard deviation of each column of targets; a constant column has the scale 1.

        Parameters
        ----------
        y : (rows,) or (rows, columns) numbers. A memory map is read in blocks.
        weight : (rows,) sample weights, or None.
        numbers : (columns,) bool; columns where it is False are left as they are.

        Raises
        ------
        DataError
            y has no rows or does not hold finite numbers, the squares of its deviations overflow, or `numbers` is for
            another number of columns.
        """
        y = np.asarray(y)
        if y.ndim not in (1, 2) or not y.size or y.dtype.kind not in "biuf":
            raise DataError(f"y has shape {y.shape} and dtype {y.dtype}; expected numbers (rows,) or (rows, columns)")
        rows = y.reshape(len(y), -1)
        shares = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
        shares = shares / shares.sum()
        first = rows[int(np.argmax(shares > 0))].astype(np.float64)  # so that a large offset costs no precision
        with np.errstate(over="ignore", invalid="ignore"):
            shift = sum(part @ (block - first) for part, block in _blocks(shares, rows))
            squares = sum(part @ (block - first - shift) ** 2 for part, block in _blocks(shares, rows))
            mean, scale = first + shift, np.sqrt(squares)
        broken = ~(np.isfinite(mean) & np.isfinite(scale))
        if broken.any():
            column = int(broken.argmax())
            raise DataError(f"y: column {column} has no finite mean and variance; expected smaller, finite numbers")
        scale = np.where(scale > 0, scale, 1.0)
        numbers = np.asarray(numbers)
        if numbers.ndim and numbers.shape != mean.shape:
            raise DataError(f"y has {mean.size} columns; expected {numbers.size}, as the loss reads")
        return cls(np.where(numbers, mean, 0.0), np.where(numbers, scale, 1.0))

    def scaled(self, y: Any, dtype: str | np.dtype = "float64") -> np.ndarray:
        """Targets y (rows,) or (rows, columns) as the model learns them; computed in float64, stored as `dtype`.

        Raises
        ------
        ShapeError
            y has another number of columns.
        """
        rows = y.reshape(len(y), -1)
        if rows.shape[1] != len(self.mean):
            raise ShapeError(
                f"targets y have {rows.shape[1]} columns, but model.target_scaling has {len(self.mean)}: make it of "
                "targets of this shape, as gs.TargetScaling.of(y)"
            )
        found = np.empty(rows.shape, dtype)
        step = max(1, _BLOCK // rows.shape[1])
        for start in range(0, len(rows), step):
            found[start : start + step] = (rows[start : start + step] - self.mean) / self.scale
        return found.reshape(y.shape)

    def restored(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs (rows, columns) in the target's units, as float64."""
        return outputs * self.scale + self.mean

    def columns(self, start: int, stop: int) -> TargetScaling:
        """The scaling of a range of columns."""
        return TargetScaling(self.mean[start:stop], self.scale[start:stop])


def _blocks(shares: np.ndarray, rows: np.ndarray) -> Any:
    step = max(1, _BLOCK // rows.shape[1])
    for start in range(0, len(rows), step):
        yield shares[start : start + step], rows[start : start + step].astype(np.float64)
