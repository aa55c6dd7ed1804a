"""The history of a training: one record per epoch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...backends.errors import DataError
from ..notebook import picture, preformatted
from .figures import name_axes, panels, saved


class History:
    """Records of finished epochs, oldest first: loss and metrics, in training and validation, rate and speed.

    ``history["loss"]`` is a column, ``history[-1]`` a record; `plot` draws the learning curve.

    Examples
    --------
    >>> history = trainer.fit(x, y, epochs=2, verbose=False)
    >>> losses, last = history["loss"], history[-1]
    >>> figure = history.plot("curve.png")
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
            try:
                return [record[key] for record in self.records]
            except KeyError:
                raise KeyError(f"{key!r} is not recorded; these are: {', '.join(self.records[-1])}") from None
        return self.records[key]

    def __repr__(self) -> str:
        return f"History({len(self)} epochs{', last ' + repr(self[-1]) if self.records else ''})"

    def _repr_html_(self) -> str:
        """In a notebook: the learning curve and the last record."""
        from importlib.util import find_spec

        if not self.records:
            return preformatted(repr(self))
        last = "\n".join(f"{name:<24} {value:.6g}" for name, value in self.records[-1].items())
        drawn = picture(self.plot()) if find_spec("matplotlib") is not None else ""
        return drawn + preformatted(last)

    def plot(self, path: str | Path | None = None) -> Any:
        """Draws loss and metrics against epochs with Matplotlib; saves the picture where `path` is given.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ConfigurationError
            Matplotlib is not installed.
        DataError
            No epoch is finished.
        """
        if not self.records:
            raise DataError("there is nothing to plot: no epoch is finished")
        metrics = [name for name in ("loss", "accuracy") if name in self.records[0]]
        figure, all_axes = panels(len(metrics))
        for axes, metric in zip(all_axes, metrics, strict=True):
            for name, label in ((metric, "training"), (f"validation_{metric}", "validation")):
                points = [(record["epoch"], record[name]) for record in self.records if name in record]
                if points:
                    axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 40 else "")
            name_axes(axes, "epoch", metric)
        return saved(figure, path)
