"""The table of a comparison, made with Rich."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ..analysis.compare import Change, Comparison
from ..points import ENOUGH
from .narrow import NarrowTable
from .numbers import duration

STYLES = {"faster": "green", "slower": "red", "same": "dim", "disturbed": "yellow"}
NOTICED = 0.02  # smaller differences in the machine's speed are not reported


def show(found: Comparison, console: Console) -> None:
    """Prints every point, the change in the machine's speed, and last the summary."""
    columns = ("backend", "batch", "before", "after", "time", "noise up to", "verdict")
    table = NarrowTable(columns, ["backend", "verdict"])
    for change in sorted(found.changes + found.backends, key=lambda change: change.backend):
        table.add_row(*_cells(change), style=STYLES[change.verdict])
    console.print(table)
    for line in (machine(found), *summary(found)):
        console.print(Text(line), soft_wrap=True)


def _cells(change: Change) -> list[str]:
    seconds = ["", ""] if change.batch is None else [duration(change.before), duration(change.after)]
    batch = "all" if change.batch is None else f"{change.batch:,}"
    noise = "" if change.verdict == "disturbed" else f"{change.noise:.0%}"
    return [change.backend, batch, *seconds, f"{change.ratio:.2f}×", noise, change.verdict]


def machine(found: Comparison) -> str:
    """How the machine's own speed changed between the two runs."""
    if not found.machine:
        text = "A file has no reference workload, so a change of the machine's speed cannot be detected"
        return text + (f"; all backends changed by at least {found.low:.2f}×" if abs(found.low - 1) > NOTICED else "")
    kinds = ", ".join(f"{kind} {ratio:.2f}×" for kind, ratio in found.machine.items())
    return f"The reference workload took {kinds} the time; only changes beyond that count"


def summary(found: Comparison) -> list[str]:
    """The summary lines."""
    counts = {verdict: sum(change.verdict == verdict for change in found.changes) for verdict in STYLES}
    lines = [
        f"{change.backend} is {change.verdict} as a whole: {change.ratio:.2f}× the time"
        for change in found.backends
        if change.verdict in ("faster", "slower")
    ]
    if counts["disturbed"]:
        lines.append(
            f"{counts['disturbed']} of {len(found.changes)} points are not judged: fewer than {ENOUGH} rounds of a "
            "file were undisturbed by other programs"
        )
    if not found.comparable:
        return [*lines, "NOT COMPARABLE: run both again while nothing else runs"]
    text = f"{counts['faster']} faster, {counts['slower']} slower, {counts['same']} the same within noise"
    return [*lines, text]
