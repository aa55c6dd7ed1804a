"""Pictures by Matplotlib; equal measurements give equal files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..dl.training.figures import saved

STYLE: Any = {"font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "gearshift", "font.family": "sans-serif"}
UNDATED = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def save(draw: Callable[[], Any], path: Path, dpi: int) -> None:
    """Writes the figure that `draw` makes; the ending says in which format, and `dpi` is of a .png."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        saved(draw(), path, dpi=dpi if path.suffix == ".png" else None, metadata=UNDATED.get(path.suffix))
