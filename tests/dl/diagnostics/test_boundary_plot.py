"""The decision boundary of a linear model is its line; regions have the colours of their classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs

pytest.importorskip("matplotlib")
X = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)


def linear(loss: gs.Loss, weight: Any, bias: Any) -> gs.Trainer:
    """A trainer of a linear model with these weights."""
    model = gs.Sequential(gs.Linear(*np.shape(weight)))
    model.load_state_dict({"0.weight": np.array(weight), "0.bias": np.array(bias)})
    return gs.Trainer(model, loss, gs.SGD(), backend="numpy")


def vertices(figure: Any) -> list[np.ndarray]:
    """The points of the lines that are drawn."""
    drawn = [found for found in figure.axes[0].collections if found.get_facecolor().size == 0]
    return [path.vertices for line in drawn for path in line.get_paths() if len(path.vertices)]


@pytest.mark.parametrize("loss", [gs.BCEWithLogitsLoss(), gs.HingeLoss()])
def test_the_boundary_of_two_classes_is_a_line(loss: gs.Loss, tmp_path: Path) -> None:
    run = linear(loss, [[1.0], [-2.0], [4.0]], [0.25])
    figure = gs.plots.decision_boundary(run, X, (X[:, 0] > 0).astype(int), tmp_path / "b.png", features=(0, 1))
    found, rest = vertices(figure), 4 * np.median(X[:, 2]) + 0.25  # the third feature stays at its median
    assert len(found) == 2  # both sides
    for points in found:
        np.testing.assert_allclose(points @ [1, -2] + rest, 0, atol=1e-4)
    shown = np.concatenate([part.get_offsets() for part in figure.axes[0].collections if len(part.get_offsets()) > 1])
    assert len(shown) == 80 and (tmp_path / "b.png").stat().st_size > 1000


def test_regions_of_three_classes_and_names() -> None:
    run = linear(gs.CrossEntropyLoss(), [[1.0, -1.0, 0.0], [0.0, 0.0, 3.0]], [0.0, 0.0, 0.0])
    run.model.classes = ["ape", "bat", "cow"]
    figure = gs.plots.decision_boundary(run, X[:, :2])
    for points in vertices(figure):
        scores = np.sort(points @ np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 3.0]]), axis=1)
        np.testing.assert_allclose(scores[:, -1], scores[:, -2], atol=0.05)  # the two largest are equal
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["ape", "bat", "cow"]


def test_values_of_a_regression() -> None:
    run = linear(gs.MSELoss(), [[1.0], [0.0]], [0.0])
    figure = gs.plots.decision_boundary(run, X[:, :2], X[:, 0] ** 2)
    assert figure.axes[1].get_ylabel() == "prediction"
    with pytest.raises(gs.ConfigurationError, match="several values"):
        gs.plots.decision_boundary(linear(gs.MSELoss(), np.eye(2), [0.0, 0.0]), X[:, :2])


def test_what_cannot_be_drawn_is_said() -> None:
    run = linear(gs.BCEWithLogitsLoss(), [[1.0], [1.0], [1.0]], [0.0])
    for features in ((0, 0), (0, 3), (0,)):
        with pytest.raises(gs.ConfigurationError, match="two different numbers from 0 to 2"):
            gs.plots.decision_boundary(run, X, features=features)  # pyright: ignore[reportArgumentType]
    with pytest.raises(gs.ShapeError, match="two features or more"):
        gs.plots.decision_boundary(linear(gs.BCEWithLogitsLoss(), [[1.0]], [0.0]), X[:, :1])
