"""What training reports: a record an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any


class History:
    """Records of finished epochs, oldest first: loss and metrics, in training and validation, rate and speed.

    ``history["loss"]`` is a column, ``history[-1]`` a record; `plot` draws the learning curve.
    """

    def __init__(self, records: list[dict[str, float]] | None = None) -> None:
        self.records = records if records is not None else []

    def __copy__(self) -> History:
        return History([dict(record) for record in self.records])

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[dict[str, float]]:
        return iter(self.records)

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            return [record[key] for record in self.records]
        return self.records[key]

    def __repr__(self) -> str:
        return f"History({len(self)} epochs{', last ' + repr(self[-1]) if self.records else ''})"

    def plot(self, path: str | Path | None = None) -> Any:
        """Draws loss and metrics against epochs with Matplotlib; saves the picture where `path` is given.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from .plots import learning_curve

        return learning_curve(self, path)
