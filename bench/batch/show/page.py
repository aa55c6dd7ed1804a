"""A self-contained HTML page of a run: summary, tables and interactive charts. It loads nothing from the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from ..analysis.analyse import analyse
from ..analysis.checked import check
from ..analysis.findings import Analysis
from ..analysis.scaling import of_document
from ..records import Document
from . import report, scaling_report

if TYPE_CHECKING:
    import plotly.graph_objects as go

STYLE = """
:root { color-scheme: light; font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff }
body { margin: 0 auto; padding: 1rem; max-width: 84rem }
h1 { font-size: 1.4rem; margin: .2rem 0 } h2 { font-size: 1.15rem; margin: 0 0 .3rem }
.lead { font-size: 1.15rem; max-width: 60rem; border-left: .3rem solid #0072b2; padding-left: .8rem }
.what, figcaption, .note { color: #555; max-width: 60rem }
.warning { color: #a00; font-weight: bold }
.charts { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1.5rem }
@media (min-width: 60rem) { .charts { grid-template-columns: repeat(2, minmax(0, 1fr)) } }
figure { margin: 0 } figure > div { min-height: 420px }
section { margin: 2rem 0 }
.scroll { overflow-x: auto } .scroll:focus-visible, summary:focus-visible { outline: 3px solid #0072b2 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; font-size: .9rem }
caption { text-align: left; font-weight: bold; padding: .3rem 0 }
th, td { padding: .15rem .7rem; border-bottom: 1px solid #ddd; text-align: right }
th.left, td.left { text-align: left }
pre { background: #f3f3f3; padding: .6rem; overflow-x: auto; font-size: .9rem }
summary { cursor: pointer; font-weight: bold; padding: .4rem 0 }
"""
CONFIG = {"responsive": True, "displaylogo": False, "displayModeBar": False}


def save(document: Document, path: Path) -> None:
    """Writes the page atomically. It has about 5 MB, nearly all of it Plotly."""
    from ....dl.storage import write_atomically

    write_atomically(path, render(document).encode())


def render(document: Document) -> str:
    """The page."""
    from plotly.offline import get_plotlyjs

    analysis, task = analyse(document), document.task
    title = f"Batch size: {task.network} on {task.data}"
    what = f"{task.parameters:,} parameters, {task.optimizer}, {task.dtype}; {task.rows:,} rows; {_machine(document)}"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style><script>{get_plotlyjs()}</script></head><body><main>",
        f'<h1>{escape(title)}</h1><p class="what">{escape(what)}</p>',
        '<p class="warning">SIMULATION: these values were not measured</p>' if document.simulated else "",
        f'<p class="lead{" warning" if analysis.doubted else ""}">{"<br>".join(map(escape, analysis.summary))}</p>',
        *_advised(document, analysis),
        f'<section class="charts" aria-label="Charts">{"".join(_charts(document, analysis))}</section>',
        *_details(document, analysis),
        "</main></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _machine(document: Document) -> str:
    return str(document.machine.get("processor", ""))


def _advised(document: Document, analysis: Analysis) -> Iterator[str]:
    if analysis.doubted or not analysis.advice:
        return
    first = analysis.advice[0]
    yield f'<section><pre tabindex="0">{escape(report.line(document, first))}</pre>'
    yield f"{_table(report.advice(analysis.advice))}</section>"


def _charts(document: Document, analysis: Analysis) -> Iterator[str]:
    from . import charts

    checked = check(document)
    yield _chart(
        "throughput",
        "Throughput and its limits",
        "Samples per second at each batch size, with the middle half of the rounds. Dashed: the limits by arithmetic, "
        "memory and calls alone on the best backend. n½: half of the peak.",
        charts.throughput(document, analysis),
    )
    for place, record in enumerate(document.backends):
        yield _chart(
            f"bounds-{place}",
            f"Where a step goes: {record.name}",
            "The share of each step that the time bounds explain.",
            charts.bounds(document, record),
        )
    yield _chart(
        "steps",
        "Steps against examples to the same loss",
        "Small batches need many steps, large batches many examples. At the critical batch size, both are twice the "
        "least.",
        charts.steps_and_examples(document, analysis, checked),
    )
    yield _chart(
        "time",
        "Time to the same loss",
        "Divided by the shortest time. Shaded: the batch sizes within 5 % of a backend's best.",
        charts.time_to_target(document, analysis, checked),
    )


def _chart(name: str, title: str, caption: str, figure: go.Figure | None) -> str:
    if figure is None:
        return ""
    drawn: Any = figure.to_html(full_html=False, include_plotlyjs=False, config=CONFIG, div_id=f"chart-{name}")
    label = escape(f"{title}. {caption} The numbers are in the tables below.", quote=True)
    return (
        f'<figure><h2>{escape(title)}</h2><div role="img" aria-label="{label}">{drawn}</div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _details(document: Document, analysis: Analysis) -> Iterator[str]:
    checked = check(document)
    if checked is not None and document.validation is not None:
        lines = _lines(report.verdict(checked, document.validation))
        yield f"<section><h2>Checked by training</h2>{_table(report.validation(checked))}{lines}</section>"
    scaling = of_document(document)
    if scaling is not None and document.workers is not None:
        lines = _lines(scaling_report.lines(scaling, document.workers))
        yield f"<section><h2>How many devices</h2>{_table(scaling_report.table(scaling))}{lines}</section>"
    if document.proofs:
        yield f"<section><h2>Effect of single changes</h2>{_table(report.proofs(document.proofs))}</section>"
    yield "<section><h2>All numbers</h2>"
    yield _lines(report.knees(analysis))
    if document.noise is not None:
        yield _lines([report.noise(document).plain, report.critical(document)])
    absent = {"noise scale": document.noise_absent, "validation": document.validation_absent}
    yield _lines([f"no {what}: {why}" for what, why in absent.items() if why])
    for record in document.backends:
        points = document.of(record.name)
        if points:
            table = report.table(record, points, analysis.knees.get(record.name))
            lines = [str(report.peak_rates(record, points)), record.limit, report.disturbances(points)]
            lines += [f"FAULT, batch {point.batch:,}: {point.fault}" for point in points if point.fault]
            yield f"<details open><summary>{escape(record.name)}</summary>{_table(table)}{_lines(lines)}</details>"
    yield "</section>"


def _lines(lines: Sequence[str]) -> str:
    return "".join(f'<p class="note">{escape(line)}</p>' for line in lines if line)


def _table(table: Table) -> str:
    """A table of the terminal report as HTML, in its own scrollable region."""
    sides = ["left" if column.justify == "left" else "" for column in table.columns]

    def row(cells: Sequence[Any], tag: str) -> str:
        filled = "".join(
            f'<{tag} class="{side}">{escape(str(cell))}</{tag}>' for cell, side in zip(cells, sides, strict=True)
        )
        return f"<tr>{filled}</tr>"

    body = "".join(row(cells, "td") for cells in zip(*(column.cells for column in table.columns), strict=True))
    head = row([column.header for column in table.columns], "th")
    title = escape(str(table.title), quote=True)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table><caption>{title}</caption>'
        f"<thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )
