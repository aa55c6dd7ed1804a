"""The tables of a comparison, made with Rich."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..batch.show.numbers import number
from . import analysis, ranks
from .contender import ENTRIES, OURS, PEAK, REFERENCE
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
            f"divided by {OURS}'s; limit: its time divided by {PEAK}'s; ÷ reference: {OURS}'s time divided by the "
            "reference workload's; losses agree: the largest relative difference"
        )
        parts.append(Text(note, style="dim"))
    if epochs:
        parts += [Text(), epoch_table(epochs, "Epochs, end to end")]
    if models:
        parts += [Text(), epoch_table(models, "Epochs of general models")]
    several = measurement.at("ranks")
    if several:
        title = f"Epochs of {ranks.THREADS} processes with a thread each, or of one with {ranks.THREADS} threads"
        parts += [Text(), epoch_table(several, title, ranks.OURS)]
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
    for title in (*names, "× fastest\nother", "limit", "÷ refer-\nence", "losses\nagree"):
        table.add_column(title, justify="right")
    for place, point in enumerate(points):
        quicker = analysis.faster_than_reference(point)
        cells = [microseconds(point.results.get(name), mark=name in quicker) for name in names]
        bare, most = analysis.ratio(point, REFERENCE), analysis.limit(point)
        last = place + 1 == len(points) or points[place + 1].network != point.network
        table.add_row(
            point.network.replace(" ", "\n"),
            str(point.batch),
            point.results[OURS].how if OURS in point.results else "",
            *cells,
            verdict(analysis.ratio(point, analysis.fastest_other(point))),
            f"{most.value:.2f}×" if most else "",
            f"{1 / bare.value:.2f}" if bare else "",
            f"{analysis.spread(point):.0e}",
            end_section=last,
        )
    return table


def epoch_table(points: Sequence[PeersPoint], title: str, ours: str = OURS) -> Table:
    """A row for each network and its batch size, a column for each contender, and its ratio to `ours`."""
    names = columns(points)
    table = Table(title=title, title_justify="left")
    table.add_column("network")
    table.add_column("rows", justify="right")
    table.add_column("batch", justify="right")
    for name in names:
        table.add_column(name, justify="right")
    for point in points:
        cells = [speed(point.results.get(name), point.rows) + below(point, name, ours) for name in names]
        table.add_row(point.network.replace(" ", "\n"), f"{point.rows:,}", str(point.batch), *cells, end_section=True)
    table.caption = (
        f"samples/s, median (middle half); below: how many times as fast {ours} is; "
        f"limit: how many times as fast {PEAK} is as the fastest other"
    )
    return table


def below(point: PeersPoint, name: str, ours: str) -> Text:
    """What stands below a contender's speed: our ratio to it, or the limit of such ratios."""
    most = analysis.limit(point)
    if name == PEAK:
        return Text(f"\nlimit {most.value:.2f}×", style="dim") if most else Text()
    against = analysis.ratio(point, name, ours)
    return Text("\n") + verdict(against) if against and name != ours else Text()


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
    return cell(result, lambda seconds: 1e6 * seconds, number, "*" * mark)


def speed(result: Result | None, rows: int) -> Text:
    """Samples per second."""
    return cell(result, lambda seconds: rows / seconds, "{:,.0f}".format)


def cell(result: Result | None, of: Callable[[float], float], form: Callable[[float], str], mark: str = "") -> Text:
    """A number computed from the median seconds, above its middle half."""
    if result is None:
        return Text()
    if not result.counts:
        return Text("FAULT", style="red")
    low, high = sorted(map(of, result.quartiles))
    return Text.assemble(f"{form(of(result.median))}{mark}", (f"\n{form(low)}–{form(high)}", "dim"))


def verdict(ratio: analysis.Ratio | None) -> Text:
    """A coloured ratio, marked if it is a tie."""
    if ratio is None:
        return Text()
    return Text(f"{ratio.value:.2f}×" + " tie" * ratio.tie, style=STYLES[ratio.verdict])


def faults(measurement: Measurement) -> list[str]:
    """The faults, one per line."""
    return [
        f"FAULT {name}, {point.measure} of {point.network}, batch {point.batch}: {result.fault}"
        for point in measurement.points
        for name, result in point.results.items()
        if result.fault
    ]
