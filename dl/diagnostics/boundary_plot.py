"""The picture of a model's answers in the plane of two features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backends.errors import ConfigurationError, ShapeError
from ..training.figures import BESIDE, new_figure, saved

if TYPE_CHECKING:
    from ..training.answers import Answers

POINTS = 200  # of the grid, along each axis
MOST = 2000  # rows in the picture


def decision_boundary(
    trainer: Answers,
    data: Any,
    y: Any = None,
    path: str | Path | None = None,
    *,
    features: tuple[int, int] = (0, 1),
) -> Any:
    """The regions of a classifier's classes, or the values of a regression, in the plane of two features; the figure.

    The rows of the data set are drawn as points; of more than 2,000 rows a random sample.

    Parameters
    ----------
    trainer : a `Trainer` or an `Inference`. For estimators, use scikit-learn's `DecisionBoundaryDisplay`.
    data, y : as for `Trainer.evaluate`; y may be left out.
    features : numbers of the two columns. The others stay at their medians.

    Raises
    ------
    ConfigurationError
        `features` are not two columns, or the model has several outputs that are not the classes of one label.
    ShapeError
        Rows are not one-dimensional, or have one feature.

    Examples
    --------
    >>> figure = gs.plots.decision_boundary(trainer, data.test, path="boundary.png")
    """
    dataset = trainer._matched(trainer._given_targets(data, y)).sample(MOST)
    x = np.asarray(dataset.on_host("x"))
    if x.ndim != 2 or x.shape[1] < 2:
        raise ShapeError(f"decision_boundary: rows have the shape {x.shape[1:]}; expected two features or more")
    if len({*features}) != 2 or not all(0 <= place < x.shape[1] for place in features):
        raise ConfigurationError(
            f"decision_boundary: features is {features}; expected two different numbers from 0 to {x.shape[1] - 1}"
        )
    chosen = x[:, list(features)].astype(np.float64)
    margin = 0.05 * np.maximum(np.ptp(chosen, axis=0), 1e-9)
    lines = np.linspace(chosen.min(axis=0) - margin, chosen.max(axis=0) + margin, POINTS).T
    plane = np.meshgrid(*lines)
    rows = np.tile(np.median(x, axis=0), (POINTS**2, 1)).astype(np.float32 if x.dtype.kind == "u" else x.dtype)
    rows[:, list(features)] = np.column_stack([axis.ravel() for axis in plane])
    outputs = trainer._outputs(rows).astype(np.float64)
    figure = new_figure((6, 4.4))
    axes = figure.subplots()
    if "accuracy" in trainer.loss.metrics:
        _classes(axes, plane, trainer, outputs, chosen, dataset)
    else:
        _values(figure, axes, plane, trainer, rows, chosen, dataset)
    names = trainer.model.feature_names
    axes.set_xlabel(f"feature {features[0]}" if names is None else names[features[0]])
    axes.set_ylabel(f"feature {features[1]}" if names is None else names[features[1]])
    return saved(figure, path)


def _classes(axes: Any, plane: Any, trainer: Answers, outputs: np.ndarray, points: np.ndarray, dataset: Any) -> None:
    """Fills the region where each class's output is the largest, and draws its edge."""
    binary = trainer.loss.targets == "binary"
    if binary and outputs.shape[1] > 1:
        raise ConfigurationError("decision_boundary: a row has several labels; expected one")
    scores = np.column_stack([-outputs, outputs]) if binary else outputs
    labels = None
    if dataset.y is not None:
        y = dataset.on_host("y")
        y = y.argmax(axis=1) if y.dtype.kind == "f" and not binary else y.reshape(-1)
        labels = y > 0.5 if binary else y
    names = trainer.model.classes or range(scores.shape[1])
    for place, name in enumerate(names):
        lead = scores[:, place] - np.delete(scores, place, axis=1).max(axis=1)  # above the best of the others
        field, color = lead.reshape(plane[0].shape), f"C{place % 10}"
        if lead.max() > 0:
            axes.contourf(*plane, field, levels=[0, np.inf], colors=[color], alpha=0.2)
        if lead.min() < 0 < lead.max():
            axes.contour(*plane, field, levels=[0], colors="black", linewidths=1)
        own = np.zeros((0, 2)) if labels is None else points[labels == place]
        axes.scatter(*own.T, s=12, color=color, edgecolors="white", linewidths=0.4, label=str(name))
    if labels is None:
        axes.scatter(*points.T, s=12, color="gray", linewidths=0)
    axes.legend(frameon=False, **BESIDE)


def _values(figure: Any, axes: Any, plane: Any, trainer: Answers, rows: Any, points: np.ndarray, data: Any) -> None:
    """Fills the plane by the predicted value; points have the colours of their targets."""
    found = trainer._answers(rows)
    if isinstance(found, dict) or found.reshape(len(found), -1).shape[1] > 1:
        raise ConfigurationError("decision_boundary: the model predicts several values; expected one")
    field = np.asarray(found, np.float64).reshape(plane[0].shape)
    y = None if data.y is None else np.asarray(data.on_host("y"), np.float64).reshape(-1)
    both = field.ravel() if y is None else np.concatenate([field.ravel(), y])
    scale = {"vmin": both.min(), "vmax": max(both.max(), both.min() + 1e-9)}
    filled = axes.contourf(*plane, field, levels=np.linspace(scale["vmin"], scale["vmax"], 21), cmap="viridis")
    figure.colorbar(filled, ax=axes, label="prediction")
    colors = {"color": "gray"} if y is None else {"c": y, "cmap": "viridis", **scale}
    axes.scatter(*points.T, s=12, edgecolors="white", linewidths=0.4, **colors)
