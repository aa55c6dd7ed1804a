"""Pictures of a training run. Matplotlib is imported here alone, and never its global state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from .history import History


def learning_curve(history: History, path: str | Path | None = None) -> Any:
    """Loss and accuracy against epochs, training and validation; returns the figure.

    Raises
    ------
    ConfigurationError
        Matplotlib is not installed.
    DataError
        No epoch is finished.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigurationError("plots need Matplotlib: pip install 'gearshift[plot]'") from None
    if not len(history):
        raise DataError("there is nothing to plot: no epoch is finished")
    metrics = [name for name in ("loss", "accuracy") if name in history[0]]
    figure = Figure(figsize=(5 * len(metrics), 3.6), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        for name, label in ((metric, "training"), (f"validation_{metric}", "validation")):
            points = [(record["epoch"], record[name]) for record in history if name in record]
            if points:
                axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 40 else "")
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure
