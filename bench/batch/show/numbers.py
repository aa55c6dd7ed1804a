"""Numbers as reports write them."""

from __future__ import annotations

from rich.text import Text


def duration(seconds: float) -> str:
    """Seconds, in a suitable unit."""
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 9995:
            return f"{number(seconds * factor)} {unit}"
    return f"{number(seconds)} s"


def spread(middle: float, low: float, high: float) -> Text:
    """A duration and its range, in one unit."""
    return Text.assemble(duration(middle), (f" {sides(middle, low, high)}", "dim"))


def sides(middle: float, low: float, high: float) -> str:
    """The ends of a range, in the unit of the middle."""
    factor = {"µs": 1e6, "ms": 1e3, "s": 1.0}[duration(middle).split()[-1]]
    return f"{number(low * factor)}–{number(high * factor)}"


def number(value: float) -> str:
    """A number with at least three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def size(count: float) -> str:
    """Bytes, in powers of 1,024."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"
