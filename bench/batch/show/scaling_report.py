"""The report of how many devices are worth it."""

from __future__ import annotations

from rich.table import Table

from ..analysis.scaling import CAUSES, Scaling
from ..records import Workers
from .narrow import NarrowTable
from .numbers import duration, number

LOST = ("device", "network", "waiting")


def table(found: Scaling) -> Table:
    """A row for each number of devices."""
    title = f"Devices that share each batch, predicted from {found.backend}"
    columns = ("devices", "batch", "of each", "step", "all-reduce", "time", "efficiency", "examples", *LOST)
    rows = NarrowTable(columns, dispensable=("all-reduce", "examples", *LOST, "of each"), title=title)
    first = found.points[0]
    for point in found.points:
        relative = f"{point.cost / first.cost:.3g}×"
        rows.add_row(
            f"{point.devices:,}",
            number(point.batch),
            number(point.batch / point.devices),
            duration(point.step),
            duration(point.exchange) if point.exchange else "–",
            relative if found.steps is None else duration(found.steps * point.cost),
            f"{found.efficiency(point):.0%}",
            f"{point.noise / first.noise:.2f}×",
            *(f"{getattr(point, name) / getattr(first, name):.2f}×" for name in LOST),
            style="bold" if point.devices == found.worthwhile else "",
        )
    return rows


def lines(found: Scaling, record: Workers) -> list[str]:
    """What follows from it."""
    most = found.points[-1].devices
    causes = " and ".join(CAUSES[name] for name in found.causes)
    if found.worthwhile is None:
        text = f"up to {most:,} devices, twice as many save more than a tenth of the time"
    elif found.worthwhile == 1:
        text = f"one device is enough: two would save less than a tenth of the time, because of {causes}"
    else:
        text = f"twice as many as {found.worthwhile:,} devices save less than a tenth of the time, because of {causes}"
    ends = [f"more than {most:,}" if end is None else f"{end:,}" for end in (found.low, found.high)]
    text += "" if ends[0] == ends[1] else f" ({ends[0]} to {ends[1]} if the critical batch size is off)"
    network = f"{duration(record.latency)} and {record.bytes_per_second / 1e9:.3g} GB/s"
    how = "measured between two processes of this machine" if record.measured else "as given"
    return [text, f"network: {network}, {how}; gradients: {record.bytes / 1e6:.3g} MB a step"]
