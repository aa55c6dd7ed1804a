"""Pictures of a training run. Matplotlib is imported here alone, and never its global state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from .history import History
    from .search import SearchResult


def learning_curve(history: History, path: str | Path | None = None) -> Any:
    """Loss and accuracy against epochs, training and validation; returns the figure.

    Raises
    ------
    ConfigurationError
        Matplotlib is not installed.
    DataError
        No epoch is finished.
    """
    if not len(history):
        raise DataError("there is nothing to plot: no epoch is finished")
    metrics = [name for name in ("loss", "accuracy") if name in history[0]]
    figure, all_axes = _panels(len(metrics))
    for axes, metric in zip(all_axes, metrics, strict=True):
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


def search_scores(result: SearchResult, path: str | Path | None = None) -> Any:
    """The candidates' scores against each parameter that was searched, the best one marked; returns the figure."""
    names = list(result.best)
    figure, all_axes = _panels(len(names))
    for number, (axes, name) in enumerate(zip(all_axes, names, strict=True)):
        values = [row.parameters[name] for row in result.rows]
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        shown: list[Any] = values if numbers else [str(value) for value in values]
        means, deviations = [row.mean for row in result.rows], [row.deviation for row in result.rows]
        axes.errorbar(shown, means, yerr=deviations, fmt="o", markersize=4, elinewidth=0.8, alpha=0.6)
        axes.plot(shown[:1], means[:1], "*", markersize=13, color="tab:red", label="best")
        if numbers and min(values) > 0 and max(values) > 30 * min(values):
            axes.set_xscale("log")
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
        if not number:
            axes.set_ylabel(f"{result.scoring}, mean and deviation of {result.folds} folds")
            axes.legend(frameon=False)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _panels(count: int) -> tuple[Any, Any]:
    """A figure with so many axes side by side."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigurationError("plots need Matplotlib: pip install 'gearshift[plot]'") from None
    figure = Figure(figsize=(5 * count, 3.6), layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False)[0]
