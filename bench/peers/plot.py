"""The picture of a comparison: steps over batch sizes, one panel a network, and epochs below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import pictures
from . import analysis, networks
from .contender import ENTRIES, OURS
from .results import Measurement, PeersPoint

# Okabe and Ito's colours, which colour-blind readers tell apart
COLOURS = {
    "numba": "#0072B2",
    "numpy": "#56B4E9",
    "torch": "#D55E00",
    "torch.compile": "#E69F00",
    "torch DataLoader": "#A34700",
    "jax": "#009E73",
    "jax scan": "#00573F",
    "scikit-learn": "#CC79A7",
}
LABELS = {"numba": "Gearshift", "numpy": "Gearshift numpy"}
INK, FAINT = "#222222", "#DDDDDD"
GAP = 0.075  # of a panel's height, between the labels of two lines


def save(measurement: Measurement, path: Path) -> None:
    """Draws what was measured, 900 pixels wide; the ending says in which format."""
    pictures.save(lambda: draw(measurement), path, dpi=200)


def draw(measurement: Measurement) -> Any:
    """The Matplotlib figure."""
    from matplotlib.figure import Figure

    steps, epochs = by_network(measurement.at("step")), by_network(measurement.at("epoch"))
    if not steps and not epochs:
        figure = Figure(figsize=(9, 2), facecolor="white")
        figure.text(
            0.5,
            0.5,
            f"nothing to draw: neither steps nor epochs of {LABELS[OURS]} were measured",
            ha="center",
            color=INK,
        )
        return figure
    rows = math.ceil(len(steps) / 2)
    heights = [2.75] * rows + [2.3] * bool(epochs)
    figure = Figure(figsize=(9, 0.7 + sum(heights)), facecolor="white", layout="constrained")
    parts = iter(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    lowest = min((value for points in steps.values() for value in relative_speeds(points)), default=0.5)
    names = list(steps)
    for first in range(0, len(names), 2):
        panels = next(parts).subplots(1, 2, sharey=True)
        for panel, network in zip(panels, names[first : first + 2], strict=False):
            step_panel(panel, network, steps[network], lowest)
        panels[0].set_ylabel("speed, Gearshift = 1")
        for panel in panels[len(names) - first :]:
            panel.set_visible(False)
    if epochs:
        epoch_panels(next(parts), epochs)
    figure.suptitle(title(measurement.machine), color=INK, fontsize=10)
    return figure


def title(machine: dict[str, Any]) -> str:
    """What is shown, and on what it was measured."""
    return f"Training on the CPU, {machine.get('processor', '')}: steps of Adam on one batch"


def by_network(points: Sequence[PeersPoint]) -> dict[str, list[PeersPoint]]:
    """The points where Gearshift counts, by network, in order of batch size."""
    found: dict[str, list[PeersPoint]] = {}
    for point in sorted(points, key=lambda point: point.batch):
        if OURS in point.results and point.results[OURS].counts:
            found.setdefault(point.network, []).append(point)
    return {name: found[name] for name in sorted(found, key=_place)}


def relative_speeds(points: Sequence[PeersPoint]) -> list[float]:
    """Every other contender's speed at these points, divided by Gearshift's."""
    return [
        1 / one.value for point in points for name in analysis.others(point) if (one := analysis.ratio(point, name))
    ]


def step_panel(panel: Any, network: str, points: Sequence[PeersPoint], lowest: float) -> None:
    """Each contender's speed over the batch size, as a multiple of Gearshift's; lines are labelled at their end."""
    ends: list[tuple[float, str]] = []
    for name in COLOURS:
        found = [(point.batch, 1 / one.value) for point in points if (one := analysis.ratio(point, name))]
        if not found or ENTRIES[name].ours:
            continue
        panel.plot(*zip(*found, strict=True), color=COLOURS[name], lw=1.4, marker="o", ms=3, solid_capstyle="round")
        ends.append((found[-1][1], name))
    batches = [point.batch for point in points]
    panel.axhspan(1 - analysis.TIE, 1 + analysis.TIE, color=COLOURS[OURS], alpha=0.12, lw=0)
    panel.plot(batches, [1] * len(batches), color=COLOURS[OURS], lw=2.6, marker="o", ms=4)
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    bottom, top = 0.8 * lowest, max([1.6, *(1.25 * value for value in relative_speeds(points))])
    panel.set_ylim(bottom, top)
    panel.set_xticks(batches, [f"{batch:,}" for batch in batches])
    panel.minorticks_off()
    ticks = [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if bottom <= tick <= top]
    panel.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.set_xlabel("batch size")
    panel.set_title(network, loc="left", fontsize=9.5, fontweight="bold", color=INK)
    panel.grid(axis="y", color=FAINT, lw=0.6)
    _bare(panel)
    label_ends(panel, sorted([*ends, (1.0, OURS)]), batches[-1])


def label_ends(panel: Any, ends: Sequence[tuple[float, str]], last: int) -> None:
    """Names beside the panel, in the order of the lines' ends and led to from them."""
    bottom, top = panel.get_ylim()
    ideal = [math.log(value / bottom) / math.log(top / bottom) for value, _ in ends]
    for height, (value, name) in zip(spread_out(ideal, GAP), ends, strict=True):
        panel.annotate(
            LABELS.get(name, name),
            (last, value),
            (1.06, height),
            textcoords=panel.transAxes,
            va="center",
            color=COLOURS[name],
            fontsize=8.5,
            fontweight="bold" if name == OURS else "normal",
            arrowprops={
                "arrowstyle": "-",
                "color": COLOURS[name],
                "lw": 0.7,
                "shrinkA": 1,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )


def epoch_panels(part: Any, epochs: dict[str, list[PeersPoint]]) -> None:
    """A bar of samples per second for each contender, one panel a network."""
    names = [name for name in COLOURS if any(name in point.results for points in epochs.values() for point in points)]
    panels = part.subplots(1, len(epochs), sharey=True, squeeze=False)[0]
    for panel, (network, points) in zip(panels, epochs.items(), strict=True):
        point = points[0]
        speeds = {name: point.rows / result.median / 1000 for name, result in point.results.items() if result.counts}
        largest = max(speeds.values())
        for row, name in enumerate(names):
            if name in speeds:
                value = speeds[name]
                panel.barh(row, value, height=0.72, color=COLOURS[name])
                panel.text(value + 0.03 * largest, row, f"{value:,.0f}", va="center", color=INK, fontsize=8)
        panel.set_xlim(0, 1.28 * largest)
        panel.set_yticks(range(len(names)), [LABELS.get(name, name) for name in names])
        panel.set_xticks([])
        panel.tick_params(axis="y", length=0)
        panel.set_title(
            network.replace(f"{networks.AUTOENCODER} ", f"{networks.AUTOENCODER}\n"), loc="left", fontsize=8
        )
        _bare(panel, "bottom")
    panels[0].invert_yaxis()
    batch = next(iter(epochs.values()))[0].batch
    part.suptitle(
        f"Epochs with shuffling, batch {batch}: thousand samples/s", x=0.01, ha="left", fontsize=9.5, fontweight="bold"
    )


def spread_out(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights moved apart to at least `gap`, and as little as that takes: groups that collide are centred."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _ends(groups[-2], gap)[1] + gap > _ends(groups[-1], gap)[0]:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_ends(group, gap)[0] + gap * place for group in groups for place in range(len(group))]


def _ends(group: list[float], gap: float) -> tuple[float, float]:
    half = gap * (len(group) - 1) / 2
    middle = sum(group) / len(group)
    return middle - half, middle + half


def _place(network: str) -> int:
    known = networks.EPOCH_NETWORKS
    return known.index(network) if network in known else len(known)


def _bare(panel: Any, *more: str) -> None:
    for side in ("top", "right", *more):
        panel.spines[side].set_visible(False)
    panel.tick_params(color=FAINT)
