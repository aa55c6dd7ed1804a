"""Pictures, where Matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .report import NotRun


def steps_picture(path: Path, points: Mapping[str, Mapping[str, Mapping[int, float]]]) -> None:
    """Step time against batch size, a panel a network, a line a contender."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
    except ImportError:
        raise NotRun("Matplotlib is not installed") from None
    if not points:
        raise NotRun("there are no points")
    figure = Figure(figsize=(max(7.0, 4.5 * len(points)), 5), layout="constrained")
    panels = figure.subplots(1, len(points), squeeze=False)[0]
    kinds = list(dict.fromkeys(name for lines in points.values() for name in lines))
    for panel, (network, lines) in zip(panels, points.items(), strict=True):
        for name, times in lines.items():
            micro = [1e6 * seconds for seconds in times.values()]
            line = "--" if name.startswith("time bound") else "-"
            panel.loglog(list(times), micro, line, marker="o", color=f"C{kinds.index(name)}", label=name)
        sizes = sorted({rows for times in lines.values() for rows in times})
        panel.set(title=network, xlabel="batch size")
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45 if len(sizes) > 5 else 0)
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("µs a step")
    known = {label: line for panel in panels for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
