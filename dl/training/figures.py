"""Figures, made by Matplotlib without its global state."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ...backends.errors import ConfigurationError

BESIDE: Any = {"fontsize": "small", "loc": "center left", "bbox_to_anchor": (1, 0.5)}
"""Where a legend is that lies right of its axes."""


def panels(count: int) -> tuple[Any, Any]:
    """A figure with so many axes side by side."""
    figure = new_figure((5 * count, 3.6))
    return figure, figure.subplots(1, count, squeeze=False)[0]


def name_axes(axes: Any, x: str, y: str, **legend: Any) -> None:
    """Names the axes, and draws a grid and the legend."""
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, **legend)


def saved(figure: Any, path: str | Path | None, **options: Any) -> Any:
    """The figure, written to `path` where one is given: whole, or not at all. Without an ending it is a .png."""
    if path is not None:
        from ..storage import write_atomically  # which needs a package that the proof on a GPU does without

        path = Path(path) if Path(path).suffix else Path(f"{path}.png")
        picture = io.BytesIO()
        figure.savefig(picture, format=path.suffix[1:].lower(), **{"dpi": 150, **options})
        write_atomically(path, picture.getbuffer())
    return figure


def new_figure(size: tuple[float, float]) -> Any:
    """A figure of the given size in inches; a notebook shows it.

    Raises
    ------
    ConfigurationError
        Matplotlib is not installed.
    """
    try:
        from .shown_figure import ShownFigure
    except ImportError:
        raise ConfigurationError("plots need Matplotlib: pip install 'gearshift[plot]'") from None
    return ShownFigure(figsize=size, layout="constrained")
