"""The report of `gearshift bench` on terminals of any width."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from gearshift.bench.batch import files
from gearshift.bench.batch.analysis.analyse import analyse
from gearshift.bench.batch.show.numbers import duration, number
from gearshift.bench.batch.show.report import line, show

MEASURED = Path(__file__).parents[4] / "bench" / "results" / "batch-size-2-core-xeon.json"


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_numbers_are_whole_at_every_width(width: int) -> None:
    document, text = files.read(MEASURED), io.StringIO()
    show(document, Console(file=text, width=width))
    lines = text.getvalue().splitlines()
    first = analyse(document).advice[0]
    commands = {line(document, first), f"next: {line(document, first)}"}
    assert commands <= set(lines), "what is to be typed is not one line"
    assert "…" not in text.getvalue(), "a cell was cut short"
    assert all(len(row.rstrip()) <= width for row in lines if row not in commands)
    for point in document.benchmarks:
        shown = f"{point.batch:,}", *duration(point.step_seconds).split(), number(point.samples_per_second)
        assert any(set(shown) <= set(row.split()) for row in lines), f"no row for {shown}"


def test_columns_are_left_out_only_where_there_is_no_room() -> None:
    heads = {}
    for width in (60, 80, 120):
        text = io.StringIO()
        show(files.read(MEASURED), Console(file=text, width=width))
        heads[width] = next(row for row in text.getvalue().splitlines() if "samples/s" in row and "batch" in row)
    for title in ("middle half", "of peak", "share", "epoch"):
        assert title in heads[120] and title not in heads[80]
    for title in ("compute", "memory", "launch"):
        assert title in heads[80]
    assert all("bound" in head and "other" in head for head in heads.values())
