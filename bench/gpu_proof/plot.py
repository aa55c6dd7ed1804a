"""Pictures, where Matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .report import NotRun


def steps_picture(path: Path, points: Mapping[str, Mapping[str, Mapping[int, float]]]) -> None:
    """Step time against batch size, a panel a network, a line a contender."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise NotRun("Matplotlib is not installed") from None
    if not points:
        raise NotRun("there are no points")
    figure = Figure(figsize=(5 * len(points), 4), layout="constrained")
    panels = figure.subplots(1, len(points), squeeze=False)[0]
    for panel, (network, lines) in zip(panels, points.items(), strict=True):
        for name, times in lines.items():
            panel.loglog(list(times), [1e6 * seconds for seconds in times.values()], marker="o", label=name)
        panel.set(title=network, xlabel="batch size", ylabel="µs a step")
        panel.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
