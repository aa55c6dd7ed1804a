"""Pictures of a model's answers: confusion, ROC and precision-recall curves, residuals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backends.errors import ConfigurationError
from ..training.figures import BESIDE, name_axes, new_figure, panels, saved

if TYPE_CHECKING:
    from ..training.answers import Answers
    from ..training.curves import Curves, ThresholdCurve
    from ..training.report import Report

MANY = 20  # classes whose numbers would not be readable, or whose curves not told apart
MOST = 5000  # points of a picture


def confusion(report: Report, path: str | Path | None = None) -> Any:
    """The confusion matrix of `Trainer.report`: rows are true classes, columns predicted ones; returns the figure.

    Colours are shares of the true class; numbers are rows.

    Examples
    --------
    >>> figure = gs.plots.confusion(trainer.report(data.test), "confusion.png")
    """
    _check(report, "confusion", "report")
    counts = report.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-300)
    size = min(12.0, 2.5 + 0.45 * len(counts))
    figure = new_figure((size + 1.6, size))
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    places = range(len(counts))
    axes.set_xticks(places, report.classes, rotation=90 if max(map(len, report.classes)) > 3 else 0)
    axes.set_yticks(places, report.classes)
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(counts) <= MANY:
        for row in places:
            for column in places:
                if counts[row, column]:
                    color = "white" if shares[row, column] > 0.5 else "black"
                    axes.text(column, row, f"{counts[row, column]:g}", ha="center", va="center", color=color, size=8)
    return saved(figure, path)


def roc(curves: Curves, path: str | Path | None = None) -> Any:
    """The ROC curves of `Trainer.curves`; returns the figure.

    Examples
    --------
    >>> figure = gs.plots.roc(trainer.curves(data.test), "roc.png")
    """
    _check(curves, "roc", "curves")
    figure, axes = _drawn(curves.roc, "false positive rate", "true positive rate", "area")
    axes.plot([0, 1], [0, 1], color="gray", linestyle=":", linewidth=1)
    return saved(figure, path)


def precision_recall(curves: Curves, path: str | Path | None = None) -> Any:
    """The precision-recall curves of `Trainer.curves`; returns the figure.

    Examples
    --------
    >>> figure = gs.plots.precision_recall(trainer.curves(data.test), "precision-recall.png")
    """
    _check(curves, "precision_recall", "curves")
    figure, _ = _drawn(curves.precision_recall, "recall", "precision", "average")
    return saved(figure, path)


def residuals(trainer: Answers, data: Any, y: Any = None, path: str | Path | None = None) -> Any:
    """Target minus prediction against the prediction, for each target column; returns the figure.

    Of more than 5,000 rows a random sample is drawn.

    Raises
    ------
    ConfigurationError
        The model does not predict values.

    Examples
    --------
    >>> trainer = gs.Trainer(gs.Sequential(gs.Linear(3, 1)), gs.MSELoss(), gs.Adam(lr=1e-2), seed=0)
    >>> history = trainer.fit(x_train, y_train, epochs=1, verbose=False)
    >>> figure = gs.plots.residuals(trainer, x_train, y_train, "residuals.png")
    """
    if not trainer.loss.compares:
        raise ConfigurationError(f"residuals: {trainer.loss!r} does not compare values; use confusion")
    dataset = trainer._given(data, y).sample(MOST)
    found = trainer._answers(dataset)
    if isinstance(found, dict):
        raise ConfigurationError("residuals: the model has several heads; expected one")
    targets = dataset.on_host("y").reshape(len(dataset), -1)
    figure, all_axes = panels(targets.shape[1])
    for column, axes in enumerate(all_axes):
        axes.scatter(found[:, column], targets[:, column] - found[:, column], s=6, alpha=0.5, linewidths=0)
        axes.axhline(0, color="gray", linewidth=1)
        name = "prediction" if targets.shape[1] == 1 else f"prediction {column}"
        axes.set(xlabel=name, ylabel="target − prediction")
        axes.grid(alpha=0.3)
    return saved(figure, path)


def _check(value: Any, name: str, source: str) -> None:
    if not hasattr(value, name):
        raise ConfigurationError(f"{name}: got a {type(value).__name__}; expected what trainer.{source}(x, y) returns")


def _drawn(curves: dict[str, ThresholdCurve], x: str, y: str, area: str) -> tuple[Any, Any]:
    """The curves in one picture; of many classes, the worst ones have a label."""
    figure = new_figure((6.4, 4))
    axes = figure.subplots()
    labelled = sorted(curves, key=lambda name: curves[name].area)[: MANY // 2]
    for name, curve in curves.items():
        label = f"{name}, {area} {curve.area:.3f}" if len(curves) <= MANY // 2 or name in labelled else None
        axes.plot(curve.x, curve.y, label=label, linewidth=1.2)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    name_axes(axes, x, y, **BESIDE)
    return figure, axes
