"""The tables of a comparison, made with Rich."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from . import analysis, ranks
from .contender import ENTRIES, OURS, REFERENCE
from .results import Measurement, PeersPoint, Result

STYLES = {"faster": "green", "tie": "yellow", "slower": "red"}


def show(measurement: Measurement, console: Console) -> None:
    """Prints the tables, missing contenders and faults."""
    console.print(render(measurement))


def render(measurement: Measurement) -> RenderableType:
    """The tables, missing contenders and faults."""
    machine = measurement.machine
    isa = "" if machine.get("isa", "native") == "native" else f", held to {machine['isa']}"
    versions = ", ".join(f"{name} {version}" for name, version in machine.get("versions", {}).items())
    parts: list[RenderableType] = [Text(f"{machine.get('processor')}{isa}; Python {machine.get('python')}, {versions}")]
    steps, epochs, models = (measurement.at(measure) for measure in ("step", "epoch", "model"))
    if steps:
        parts += [Text(), step_table(steps)]
        note = (
            "µs per step, median (middle half). *: faster than the reference workload. × fastest other: its time "
            f"divided by {OURS}'s; ÷ reference: {OURS}'s time divided by the reference workload's; losses agree: the "
            "largest relative difference"
        )
        parts.append(Text(note, style="dim"))
    if epochs:
        parts += [Text(), epoch_table(epochs, f"Epochs, end to end, batch {epochs[0].batch}")]
        parts.append(Text("samples/s, median (middle half)", style="dim"))
    if models:
        parts += [Text(), epoch_table(models, "Epochs of general models")]
        parts.append(Text("samples/s, median (middle half)", style="dim"))
    several = measurement.at("ranks")
    if several:
        parts += [Text(), ranks_table(several)]
    if not all(point.real for point in (*epochs, *several)):
        parts.append(Text("random bytes instead of Fashion-MNIST, which is not installed", style="yellow"))
    summary = summary_table(measurement)
    if summary.row_count:
        parts += [Text(), summary]
    parts += [Text(f"{name}: not installed; {install}", style="yellow") for name, install in measurement.absent.items()]
    parts += [Text(fault, style="red") for fault in faults(measurement)]
    return Group(*parts)


def step_table(points: Sequence[PeersPoint]) -> Table:
    """A row for each network and batch size, a column for each contender."""
    names = columns(points)
    table = Table(title="A training step", title_justify="left")
    for title in ("network", "batch"):
        table.add_column(title, overflow="fold", justify="right" if title == "batch" else "left")
    table.add_column(f"{OURS} runs on", overflow="fold")
    for title in (*names, "× fastest\nother", "÷ refer-\nence", "losses\nagree"):
        table.add_column(title, justify="right")
    for place, point in enumerate(points):
        quicker = analysis.faster_than_reference(point)
        cells = [microseconds(point.results.get(name), mark=name in quicker) for name in names]
        bare = analysis.ratio(point, REFERENCE)
        last = place + 1 == len(points) or points[place + 1].network != point.network
        table.add_row(
            point.network.replace(" ", "\n"),
            str(point.batch),
            point.results[OURS].how if OURS in point.results else "",
            *cells,
            verdict(analysis.ratio(point, analysis.fastest_other(point))),
            f"{1 / bare.value:.2f}" if bare else "",
            f"{analysis.spread(point):.0e}",
            end_section=last,
        )
    return table


def epoch_table(points: Sequence[PeersPoint], title: str) -> Table:
    """A row for each network and its batch size, a column for each contender, and its ratio to numba."""
    names = columns(points)
    table = Table(title=title, title_justify="left")
    table.add_column("network")
    table.add_column("rows", justify="right")
    table.add_column("batch", justify="right")
    for name in names:
        table.add_column(name, justify="right")
    for point in points:
        cells = []
        for name in names:
            cell = speed(point.results.get(name), point.rows)
            against = None if ENTRIES[name].ours else analysis.ratio(point, name)
            cells.append(cell + Text("\n") + verdict(against) if against else cell)
        table.add_row(point.network.replace(" ", "\n"), f"{point.rows:,}", str(point.batch), *cells, end_section=True)
    table.caption = f"below: how many times as fast {OURS} is"
    return table


def ranks_table(points: Sequence[PeersPoint]) -> Table:
    """A row for each network, a column for each contender, and how many times as fast Gearshift's ranks are."""
    names = columns(points)
    title = f"Epochs of {ranks.THREADS} processes with a thread each, or of one with {ranks.THREADS} threads"
    table = Table(title=f"{title}, batch {points[0].batch}", title_justify="left")
    table.add_column("network")
    for name in names:
        table.add_column(name, justify="right")
    for point in points:
        cells = []
        for name in names:
            cell, against = speed(point.results.get(name), point.rows), analysis.ratio(point, name, ranks.OURS)
            cells.append(cell + Text("\n") + verdict(against) if against and name != ranks.OURS else cell)
        table.add_row(point.network, *cells, end_section=True)
    table.caption = f"samples/s, median (middle half); below: how many times as fast {ranks.OURS} is"
    return table


def summary_table(measurement: Measurement) -> Table:
    """Geometric means of ratios, and the worst cases."""
    table = Table(title=f"Times divided by {OURS}'s (and step / reference)", title_justify="left")
    table.add_column("against")
    for title in ("geometric mean", "points", "worst"):
        table.add_column(title, justify="right")
    table.add_column("at")
    lines = analysis.step_summary(measurement.at("step")) + analysis.epoch_summary(measurement.at("epoch"), "epochs")
    lines += analysis.epoch_summary(measurement.at("model"), "general models")
    for line in lines:
        table.add_row(line.title, f"{line.mean:.2f}", str(line.points), f"{line.worst:.2f}", line.where)
    return table


def columns(points: Sequence[PeersPoint]) -> list[str]:
    """The contenders of these points, in the list's order."""
    return [name for name in ENTRIES if any(name in point.results for point in points)]


def microseconds(result: Result | None, mark: bool = False) -> Text:
    """Seconds per step as microseconds."""
    if result is None:
        return Text()
    if not result.counts:
        return Text("FAULT", style="red")
    low, high = (number(1e6 * value) for value in result.quartiles)
    return Text.assemble(f"{number(1e6 * result.median)}{'*' * mark}", (f"\n{low}–{high}", "dim"))


def speed(result: Result | None, rows: int) -> Text:
    """Samples per second."""
    if result is None:
        return Text()
    if not result.counts:
        return Text("FAULT", style="red")
    low, high = (rows / value for value in reversed(result.quartiles))
    return Text.assemble(f"{rows / result.median:,.0f}", (f"\n{low:,.0f}–{high:,.0f}", "dim"))


def verdict(ratio: analysis.Ratio | None) -> Text:
    """A coloured ratio, marked if it is a tie."""
    if ratio is None:
        return Text()
    return Text(f"{ratio.value:.2f}×" + " tie" * ratio.tie, style=STYLES[ratio.verdict])


def number(value: float) -> str:
    """A number with at least three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def faults(measurement: Measurement) -> list[str]:
    """The faults, one per line."""
    return [
        f"FAULT {name}, {point.measure} of {point.network}, batch {point.batch}: {result.fault}"
        for point in measurement.points
        for name, result in point.results.items()
        if result.fault
    ]
