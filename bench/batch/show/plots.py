"""The four pictures of a run, by Matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import pictures
from ..analysis import advice
from ..analysis.analyse import analyse, critical_batch, curve_of
from ..analysis.checked import AdviceCheck, check
from ..analysis.findings import Advice, Analysis
from ..analysis.sentences import two_digits
from ..points import BOUNDS, OTHER, Bound, Point
from ..records import Document
from .ticks import log_ticks

# Okabe and Ito's colours, which colour-blind readers tell apart
BACKENDS = {"cupy": "#009E73", "numba": "#0072B2", "numpy": "#D55E00"}
OTHERS = ("#CC79A7", "#56B4E9", "#E69F00")
PARTS = {"compute": "#009E73", "memory": "#E69F00", "launch": "#CC79A7", OTHER: "#DDDDDD"}
COLUMNS = 3  # of a legend
PEAKS: dict[Bound, str] = {"compute": "--", "memory": "-.", "launch": ":"}
INK, FAINT, MEASURED = "#222222", "#DDDDDD", "#882255"


def save(document: Document, path: Path) -> None:
    """Draws what was measured; the ending says in which format."""
    pictures.save(lambda: draw(document), path, dpi=160)


def draw(document: Document) -> Any:
    """The Matplotlib figure: four panels."""
    from matplotlib.figure import Figure

    analysis = analyse(document)
    figure = Figure(figsize=(10, 8), facecolor="white", layout="constrained")
    panels = figure.subplots(2, 2)
    throughput(panels[0, 0], document, analysis)
    bounds(panels[0, 1], document, analysis)
    steps_and_examples(panels[1, 0], document, analysis)
    time_to_target(panels[1, 1], document, analysis)
    for panel in panels.flat:
        _finish(panel)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(color=FAINT)
    marked = "SIMULATION, nothing was measured. " if document.simulated else ""
    processor = document.machine.get("processor", "")
    figure.suptitle(f"{marked}{document.task.network}, {document.task.optimizer}, {document.task.data}; {processor}")
    return figure


def colour(document: Document, name: str) -> str:
    """A backend's colour."""
    others = [record.name for record in document.backends if record.name not in BACKENDS]
    return BACKENDS.get(name) or OTHERS[others.index(name) % len(OTHERS)]


def throughput(panel: Any, document: Document, analysis: Analysis) -> None:
    """Samples per second against batch size, with each backend's middle half and the three limits of the best one."""
    for record in document.backends:
        points = document.of(record.name)
        if not points:
            continue
        batches, ink = np.array([point.batch for point in points]), colour(document, record.name)
        low, high = np.array([point.quartiles for point in points]).T
        speeds = [point.samples_per_second for point in points]
        panel.fill_between(batches, batches / high, batches / low, color=ink, alpha=0.25, lw=0)
        panel.plot(batches, speeds, color=ink, marker="o", ms=3, lw=1.8, label=record.name)
        knee = analysis.knees.get(record.name)
        if knee and knee.half_peak and batches[0] < knee.half_peak.value < batches[-1]:
            label = f"{record.name}: n½ {two_digits(knee.half_peak.value)}"
            panel.axvline(knee.half_peak.value, color=ink, lw=0.8, alpha=0.6, label=label)
        if record.name == analysis.best and points[0].time_bounds:
            for name, style in PEAKS.items():
                if pairs := limit(points, name):
                    panel.plot(*zip(*pairs, strict=True), color=ink, ls=style, lw=1, alpha=0.8, label=f"{name} bound")
    for found in [] if analysis.doubted else analysis.advice[:1]:
        ink, label = colour(document, found.backend), f"take {found.batch:,}"
        panel.axvspan(found.low, found.high, color=ink, alpha=0.12, lw=0, label=label)
    for crossing in analysis.crossings:
        if crossing.batch is not None:
            panel.axvspan(crossing.batch.low, crossing.batch.high, color=INK, alpha=0.15, lw=0)
    panel.set(xscale="log", yscale="log", xlabel="batch size", ylabel="samples/s")
    panel.set_title("Throughput and its time bounds", loc="left", fontweight="bold")


def limit(points: Sequence[Point], bound: Bound) -> list[tuple[int, float]]:
    """Batch sizes and the throughput that one peak rate alone would allow, cut off far above the measurements."""
    top = 30 * max(point.samples_per_second for point in points)
    seconds = [sum(getattr(time_bound, bound) for time_bound in point.time_bounds) for point in points]
    pairs = [(point.batch, point.batch / s) for point, s in zip(points, seconds, strict=True) if s > 0]
    return [(batch, speed) for batch, speed in pairs if speed <= top]


def shares(points: Sequence[Point]) -> dict[str, np.ndarray]:
    """The percentage of each point's step that each bound explains, and what is left."""
    found = {
        name: np.array([100 * point.bound_seconds[name] / point.step_seconds for point in points]) for name in BOUNDS
    }
    return {**found, OTHER: np.maximum(0, 100 - sum(found.values()))}


def bounds(panel: Any, document: Document, analysis: Analysis) -> None:
    """A bar for each batch size of the best backend: the share of the step that each bound explains."""
    points = [point for point in document.of(analysis.best) if point.time_bounds] if analysis.best else []
    panel.set_title(f"Where a step goes: {analysis.best}", loc="left", fontweight="bold")
    if not points:
        return _nothing(panel, "no peak rates were measured")
    bottom = np.zeros(len(points))
    for name, part in shares(points).items():
        panel.bar(range(len(points)), part, bottom=bottom, color=PARTS[name], width=0.85, label=name)
        bottom += part
    panel.set_xticks(range(len(points)), [f"{point.batch:,}" for point in points], rotation=60, fontsize=7)
    panel.set(xlabel="batch size", ylabel="% of the step", ylim=(0, max(100, float(bottom.max()))))
    return None


def steps_and_examples(panel: Any, document: Document, analysis: Analysis) -> None:
    """The hyperbola of steps against examples to a target, in units of their least."""
    panel.set_title("Steps against examples to the same loss", loc="left", fontweight="bold")
    scale = critical_batch(document)
    if scale is None:
        return _nothing(panel, "the noise scale was not measured")
    batches = np.array(whole(document, document.asked), dtype=float)
    fine = np.exp(np.linspace(np.log(batches[0]), np.log(batches[-1]), 200))
    for noise, width in ((scale.low, 0.6), (scale.high, 0.6), (scale.value, 2.0)):
        panel.plot(1 + fine / noise, 1 + noise / fine, color=INK, lw=width)
    panel.plot(1 + batches / scale.value, 1 + scale.value / batches, "o", color=INK, ms=4)
    for batch in batches[:: max(1, len(batches) // 6)]:
        place = (1 + batch / scale.value, 1 + scale.value / batch)
        panel.annotate(f"{int(batch):,}", place, (4, 4), textcoords="offset points", fontsize=8)
    checked = check(document)
    if checked is not None and checked.hyperbola is not None:
        least = checked.hyperbola
        places = [(point.examples / least.examples, point.steps / least.steps) for point in checked.points]
        panel.plot(*zip(*places, strict=True), "s", color=MEASURED, ms=5, label="measured")
        for point, place in zip(checked.points, places, strict=True):
            panel.annotate(
                f"{point.batch:,}", place, (-4, -4), textcoords="offset points", fontsize=8, color=MEASURED,
                ha="right", va="top",
            )  # fmt: skip
    for one in [] if analysis.doubted else analysis.advice[:1]:
        place = (1 + one.batch / scale.value, 1 + scale.value / one.batch)
        panel.plot(*place, "o", ms=10, mfc="none", color=colour(document, one.backend), label=f"take {one.batch:,}")
    panel.margins(0.1)
    panel.set(xscale="log", yscale="log", xlabel="examples / least", ylabel="steps / least")
    return None


def time_to_target(panel: Any, document: Document, analysis: Analysis) -> None:
    """Time to the target divided by the shortest, against batch size, with the 5 % band of each backend."""
    panel.set_title("Time to the same loss", loc="left", fontweight="bold")
    scale = critical_batch(document)
    if scale is None or not analysis.advice:
        return _nothing(panel, "the noise scale was not measured")
    least = analysis.advice[0].cost
    for one in analysis.advice:
        measured, ink = curve_of(document, one.backend), colour(document, one.backend)
        assert measured is not None
        batches = np.array(whole(document, measured.batches))
        costs = advice.cost(measured, scale.value, batches) / least
        panel.plot(batches, costs, color=ink, marker="o", ms=3, lw=1.8, label=advised(analysis, one))
        if not analysis.doubted:
            panel.axvspan(one.low, one.high, color=ink, alpha=0.12, lw=0)
    checked = check(document)
    if checked is not None:
        batches, times = zip(*relative_times(document, checked, least), strict=True)
        panel.plot(batches, times, "s", color=MEASURED, ms=5, label="measured")
    panel.set(xscale="log", yscale="log", xlabel="batch size", ylabel="time / least")
    return None


def whole(document: Document, batches: Sequence[float] | np.ndarray) -> list[float]:
    """The batch sizes that the data have rows for; the first in any case."""
    return [batch for batch in batches if batch <= max(document.task.rows, batches[0])]


def advised(analysis: Analysis, one: Advice) -> str:
    """A backend's label, with its advised batch size unless that is doubted."""
    return one.backend if analysis.doubted else f"{one.backend}: take {one.batch:,}"


def relative_times(document: Document, checked: AdviceCheck, least: float) -> list[tuple[int, float]]:
    """Batch sizes, and the times measured there in the units of the prediction, which agree at the advised one."""
    scale, measured = critical_batch(document), curve_of(document, checked.backend)
    assert scale is not None and measured is not None
    return [
        (point.batch, float(point.seconds / point.predicted * advice.cost(measured, scale.value, point.batch) / least))
        for point in checked.points
    ]


def _finish(panel: Any) -> None:
    """Ticks of logarithmic axes, and the legend between the title and the panel, where it covers nothing."""
    from matplotlib.ticker import NullLocator

    for axis, (low, high) in ((panel.xaxis, panel.get_xlim()), (panel.yaxis, panel.get_ylim())):
        if axis.get_scale() == "log":
            found = log_ticks(low, high)
            axis.set_ticks(list(found), list(found.values()))
            axis.set_minor_locator(NullLocator())
    handles, labels = panel.get_legend_handles_labels()
    if labels:
        place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0, "ncols": COLUMNS}
        place |= {"columnspacing": 1.2, "handlelength": 1.6, "handletextpad": 0.5}
        panel.legend(handles, labels, frameon=False, fontsize=8, **place).set_in_layout(False)  # the title has its room
        title = panel.get_title(loc="left")
        panel.set_title(title, loc="left", fontweight="bold", pad=6 + 14 * math.ceil(len(labels) / COLUMNS))


def _nothing(panel: Any, why: str) -> None:
    panel.text(0.5, 0.5, why, ha="center", va="center", transform=panel.transAxes, color=INK)
    panel.set_xticks([])
    panel.set_yticks([])
