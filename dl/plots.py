"""Pictures of a training run. Matplotlib is imported here alone, and never its global state."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from .diagnostics.noise import GradientNoise
    from .history import History
    from .learning_rates import Trials
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
    return saved(figure, path)


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
    return saved(figure, path)


def rate_trials(trials: Trials, path: str | Path | None = None) -> Any:
    """The loss after a trial against its learning rate, and each trial's curve; returns the figure."""
    figure, (left, right) = _panels(2)
    done = [row for row in trials.rows if math.isfinite(row.loss)]
    left.plot([row.lr for row in done], [row.loss for row in done], "o-")
    for row in trials.rows:
        if not math.isfinite(row.loss):
            left.axvline(row.lr, color="tab:red", linestyle=":", label="diverged")
    left.axhline(trials.before, color="gray", linestyle="--", label="before the first step")
    best = min(trials.rows, key=lambda row: row.loss)
    if best.loss < trials.before:
        left.plot([best.lr], [best.loss], "*", markersize=13, color="tab:red", label=f"best, {best.lr:g}")
    left.set_xscale("log")
    left.set_xlabel("learning rate")
    left.set_ylabel(f"loss after {trials.iterations} steps")
    handles = dict(zip(*reversed(left.get_legend_handles_labels()), strict=True))
    left.legend(handles.values(), handles.keys(), frameon=False)
    for row in trials.rows:
        if row.steps:
            right.plot(row.steps, row.losses, marker=".", label=f"{row.lr:g}")
    right.set_xlabel("step")
    right.set_ylabel("loss")
    right.legend(frameon=False, title="learning rate", fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    least = min([trials.before, *(row.loss for row in done), *(loss for row in trials.rows for loss in row.losses)])
    for axes in (left, right):  # what is far above the beginning is of no interest
        if least > 0:
            axes.set_yscale("log")
            axes.set_ylim(0.8 * least, 3 * trials.before)
        axes.grid(alpha=0.3)
    return saved(figure, path)


def gradient_norms(history: History, path: str | Path | None = None) -> Any:
    """The gradient's norm of each parameter against epochs, as `GradientNorms` recorded it; returns the figure."""
    from .diagnostics.watch import NORM

    columns = [name for name in (history[0] if len(history) else {}) if name.startswith(f"{NORM} ")]
    names = {name: name.removeprefix(f"{NORM} ") for name in columns}
    return _against_epochs(history, {**names, NORM: "all"}, "norm of the gradient", "GradientNorms", path)


def curvature(history: History, path: str | Path | None = None) -> Any:
    """What a step gains to first order and loses to curvature, as `Curvature` recorded it; returns the figure."""
    names = {"descent": "ε gᵀg", "curvature": "½ ε² gᵀHg"}
    return _against_epochs(history, names, "change of the loss in a step", "Curvature", path)


def standard_error(noise: GradientNoise, path: str | Path | None = None) -> Any:
    """The standard error of a batch's gradient against its size, and the gradient's length; returns the figure."""
    figure, (axes,) = _panels(1)
    sizes = [2**power for power in range(15)]
    axes.loglog(sizes, noise.standard_error(sizes), marker=".", label="standard error, σ / √m")
    if noise.squared_norm > 0:
        axes.axhline(math.sqrt(noise.squared_norm), color="gray", linestyle="--", label="length of the gradient")
        axes.axvline(noise.noise_scale, color="tab:red", linestyle=":", label=f"noise scale, {noise.noise_scale:.0f}")
    axes.set_xlabel("batch size m")
    axes.set_ylabel("of the gradient")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return saved(figure, path)


def _against_epochs(history: History, names: dict[str, str], what: str, callback: str, path: str | Path | None) -> Any:
    """Columns of a history on a logarithmic scale, under the names they are shown by."""
    if not len(history) or not any(name in history[-1] for name in names):
        raise DataError(f"there is nothing to plot: train with callbacks=[gs.{callback}(x, y)]")
    figure, (axes,) = _panels(1)
    for name, label in names.items():
        points = [(record["epoch"], record[name]) for record in history if record.get(name, 0) > 0]
        if points:
            axes.semilogy(*zip(*points, strict=True), label=label, marker="." if len(points) < 40 else "")
    axes.set_xlabel("epoch")
    axes.set_ylabel(what)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return saved(figure, path)


def _panels(count: int) -> tuple[Any, Any]:
    """A figure with so many axes side by side."""
    figure = new_figure((5 * count, 3.6))
    return figure, figure.subplots(1, count, squeeze=False)[0]


def saved(figure: Any, path: str | Path | None, **options: Any) -> Any:
    """The figure, written to `path` where one is given: whole, or not at all. Without an ending it is a .png."""
    if path is not None:
        from .storage import write_atomically  # which needs a package that the proof on a GPU does without

        path = Path(path) if Path(path).suffix else Path(f"{path}.png")
        picture = io.BytesIO()
        figure.savefig(picture, format=path.suffix[1:].lower(), **{"dpi": 150, **options})
        write_atomically(path, picture.getbuffer())
    return figure


def new_figure(size: tuple[float, float]) -> Any:
    """A figure of so many inches.

    Raises
    ------
    ConfigurationError
        Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigurationError("plots need Matplotlib: pip install 'gearshift[plot]'") from None
    return Figure(figsize=size, layout="constrained")
