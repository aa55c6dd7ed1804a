"""The table of a comparison, by Rich."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from .compare import Comparison
from .report import duration

STYLES = {"faster": "green", "slower": "red", "same": "dim"}


def show(found: Comparison, console: Console) -> None:
    """Every point, and a line that sums up."""
    table = Table(box=SIMPLE_HEAD)
    for title in ("backend", "batch", "before", "after", "time", "noise up to", "verdict"):
        table.add_column(title, justify="left" if title in ("backend", "verdict") else "right")
    for change in found.changes:
        table.add_row(
            change.backend,
            f"{change.batch:,}",
            duration(change.before),
            duration(change.after),
            f"{change.ratio:.2f}×",
            f"{change.noise:.0%}",
            change.verdict,
            style=STYLES[change.verdict],
        )
    console.print(table)
    counts = {verdict: sum(change.verdict == verdict for change in found.changes) for verdict in STYLES}
    text = f"{counts['faster']} faster, {counts['slower']} slower, {counts['same']} the same within noise"
    if abs(found.drift - 1) > 0.02:
        text += f"; everything together takes {found.drift:.2f}× the time: the machine, or a change to all of it"
    console.print(text, highlight=False, soft_wrap=True)
