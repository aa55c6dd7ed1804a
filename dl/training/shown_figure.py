"""Matplotlib's figure, which shows itself at the end of a notebook's cell; without `pyplot`, its own does not."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure that a notebook shows. Where Matplotlib's own display is active, that one draws it."""

    def _repr_png_(self) -> bytes:
        drawn = io.BytesIO()
        self.savefig(drawn, format="png", dpi=100)
        return drawn.getvalue()
