"""Plots of a training run and of a model's answers, without Matplotlib's global state: ``gs.plots``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...backends.errors import DataError

if TYPE_CHECKING:
    from ..training.history import History
    from .noise import GradientNoise
from ..training.figures import name_axes, panels, saved
from .answers_plots import confusion, precision_recall, residuals, roc
from .boundary_plot import decision_boundary

__all__ = [
    "confusion",
    "curvature",
    "decision_boundary",
    "gradient_norms",
    "precision_recall",
    "residuals",
    "roc",
    "standard_error",
]


def gradient_norms(history: History, path: str | Path | None = None) -> Any:
    """The gradient's norm of each parameter against epochs, as `GradientNorms` recorded it; returns the figure.

    Examples
    --------
    >>> history = trainer.fit(x, y, epochs=2, callbacks=[gs.GradientNorms(x, y)], verbose=False)
    >>> figure = gs.plots.gradient_norms(history, "gradient-norms.png")
    """
    from .watch import NORM

    columns = [name for name in (history[0] if len(history) else {}) if name.startswith(f"{NORM} ")]
    names = {name: name.removeprefix(f"{NORM} ") for name in columns}
    return _against_epochs(history, {**names, NORM: "all"}, "norm of the gradient", "GradientNorms", path)


def curvature(history: History, path: str | Path | None = None) -> Any:
    """The first- and second-order change of the loss in a step, as `Curvature` recorded them; returns the figure.

    Examples
    --------
    >>> history = trainer.fit(x, y, epochs=2, callbacks=[gs.Curvature(x[:100], y[:100])], verbose=False)
    >>> figure = gs.plots.curvature(history, "curvature.png")
    """
    names = {"descent": "ε gᵀg", "curvature": "½ ε² gᵀHg"}
    return _against_epochs(history, names, "change of the loss in a step", "Curvature", path)


def standard_error(noise: GradientNoise, path: str | Path | None = None) -> Any:
    """The standard error of a batch's gradient against its size, and the gradient's length; returns the figure.

    Examples
    --------
    >>> noise = gs.gradient_noise(model, gs.CrossEntropyLoss(), x, y)
    >>> figure = gs.plots.standard_error(noise, "standard-error.png")
    """
    figure, (axes,) = panels(1)
    sizes = [2**power for power in range(15)]
    axes.loglog(sizes, noise.standard_error(sizes), marker=".", label="standard error, σ / √m")
    if noise.squared_norm > 0:
        axes.axhline(math.sqrt(noise.squared_norm), color="gray", linestyle="--", label="length of the gradient")
        axes.axvline(noise.noise_scale, color="tab:red", linestyle=":", label=f"noise scale, {noise.noise_scale:.0f}")
    name_axes(axes, "batch size m", "of the gradient")
    return saved(figure, path)


def _against_epochs(history: History, names: dict[str, str], what: str, callback: str, path: str | Path | None) -> Any:
    """Plots columns of a history, by their labels, on a logarithmic scale."""
    if not len(history) or not any(name in history[-1] for name in names):
        raise DataError(f"there is nothing to plot: train with callbacks=[gs.{callback}(x, y)]")
    figure, (axes,) = panels(1)
    for name, label in names.items():
        points = [(record["epoch"], record[name]) for record in history if record.get(name, 0) > 0]
        if points:
            axes.semilogy(*zip(*points, strict=True), label=label, marker="." if len(points) < 40 else "")
    name_axes(axes, "epoch", what)
    return saved(figure, path)
