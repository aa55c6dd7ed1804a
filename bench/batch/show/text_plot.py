"""A plot of the throughput, in text."""

from __future__ import annotations

import math

from rich.text import Text

from ..records import Document
from .numbers import number

ROWS, MARKS = 12, "ox+*#@"


def plot(document: Document, width: int = 60) -> Text:
    """A text plot of the throughput against the batch size, on logarithmic axes."""
    curves = {record.name: document.of(record.name) for record in document.backends if document.of(record.name)}
    batches = sorted({point.batch for points in curves.values() for point in points})
    speeds = [point.samples_per_second for points in curves.values() for point in points]
    low, high = math.log(min(speeds)), math.log(max(speeds))
    left, right = math.log(batches[0]), math.log(batches[-1])
    grid = [[" "] * width for _ in range(ROWS)]
    for mark, points in zip(MARKS, curves.values(), strict=False):
        for point in points:
            across = round((math.log(point.batch) - left) / max(right - left, 1e-9) * (width - 1))
            up = round((math.log(point.samples_per_second) - low) / max(high - low, 1e-9) * (ROWS - 1))
            row = grid[ROWS - 1 - up]
            row[across] = mark if row[across] == " " else "&"
    labels = [
        number(math.exp(high - (high - low) * row / (ROWS - 1))) if row % 4 == 0 or row == ROWS - 1 else ""
        for row in range(ROWS)
    ]
    room = max(map(len, labels))
    lines = [f"{label:>{room}} |{''.join(row)}" for label, row in zip(labels, grid, strict=True)]
    lines.append(" " * room + " +" + "-" * width)
    lines.append(" " * (room + 2) + _batch_labels(batches, width).rstrip())
    legend = "   ".join(f"{mark} {name}" for mark, name in zip(MARKS, curves, strict=False))
    return Text(f"throughput (samples/s) vs batch size, log–log:   {legend}\n" + "\n".join(lines), no_wrap=True)


def _batch_labels(batches: list[int], width: int) -> str:
    """The batch sizes below their places: the ends, and those between that have room."""
    found, left, right = [" "] * width, math.log(batches[0]), math.log(batches[-1])
    for batch in (batches[0], batches[-1], *batches[1:-1]):
        text = f"{batch:,}"
        place = round((math.log(batch) - left) / max(right - left, 1e-9) * (width - 1)) - len(text) // 2
        place = min(max(place, 0), width - len(text))
        around = found[max(0, place - 2) : place + len(text) + 2]
        if not "".join(around).strip():
            found[place : place + len(text)] = text
    return "".join(found)
