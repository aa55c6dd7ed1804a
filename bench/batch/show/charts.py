"""The charts of a run as interactive figures, by Plotly, which is imported here alone."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from ..analysis import advice
from ..analysis.analyse import critical_batch, curve_of
from ..analysis.checked import AdviceCheck
from ..analysis.findings import Analysis
from ..analysis.sentences import two_digits
from ..records import BackendRecord, Document
from .plots import INK, MEASURED, PARTS, PEAKS, advised, colour, limit, relative_times, shares, whole
from .ticks import log_ticks

DASHES = {"--": "dash", "-.": "dashdot", ":": "dot"}
FONT = {"family": "system-ui, sans-serif", "size": 14, "color": INK}
GRID = "#e6e6e6"


def throughput(document: Document, analysis: Analysis) -> go.Figure:
    """Samples per second against batch size, with the middle half of the rounds, n½, crossings and limits."""
    figure = _figure("batch size", "samples/s")
    for record in document.backends:
        points = document.of(record.name)
        if not points:
            continue
        ink = colour(document, record.name)
        batches = [point.batch for point in points]
        low, high = zip(*(point.quartiles for point in points), strict=True)
        band = [b / s for b, s in zip(batches, high, strict=True)]
        band += [b / s for b, s in zip(batches, low, strict=True)][::-1]
        figure.add_scatter(
            x=batches + batches[::-1], y=band, fill="toself", fillcolor=ink, opacity=0.25, line_width=0,
            mode="lines", hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=batches, y=[point.samples_per_second for point in points], name=record.name, mode="lines+markers",
            line_color=ink, hovertemplate="batch %{x:,}: %{y:,.3s} samples/s",
        )  # fmt: skip
        knee = analysis.knees.get(record.name)
        if knee and knee.half_peak and batches[0] < knee.half_peak.value < batches[-1]:
            half = knee.half_peak.value
            figure.add_vline(
                half, line_color=ink, line_width=1, name=f"{record.name}: n½ {two_digits(half)}", showlegend=True
            )
        if record.name == analysis.best and points[0].time_bounds:
            for name, dash in PEAKS.items():
                if pairs := limit(points, name):
                    x, y = zip(*pairs, strict=True)
                    line = {"color": ink, "width": 1.5, "dash": DASHES[dash]}
                    figure.add_scatter(x=x, y=y, name=f"{name} limit", mode="lines", line=line)
    for crossing in analysis.crossings:
        if crossing.batch is not None:
            figure.add_vrect(crossing.batch.low, crossing.batch.high, fillcolor=INK, opacity=0.15, line_width=0)
    return _ticked(figure)


def bounds(document: Document, record: BackendRecord) -> go.Figure | None:
    """A bar for each batch size of a backend: the share of the step that each bound explains; None without bounds."""
    points = [point for point in document.of(record.name) if point.time_bounds]
    if not points:
        return None
    figure = _figure("batch size", "% of the step", logarithmic=False)
    names = [f"{point.batch:,}" for point in points]
    for name, part in shares(points).items():
        figure.add_bar(x=names, y=part.tolist(), name=name, marker_color=PARTS[name], hovertemplate="%{y:.0f} %")
    figure.update_layout(barmode="stack", bargap=0.1, hovermode="x unified", xaxis_type="category")
    return figure


def steps_and_examples(document: Document, analysis: Analysis, checked: AdviceCheck | None) -> go.Figure | None:
    """The hyperbola of steps against examples, in units of their least; None without a noise scale."""
    scale = critical_batch(document)
    if scale is None:
        return None
    figure = _figure("examples / least", "steps / least")
    batches = whole(document, document.asked)
    fine = np.exp(np.linspace(np.log(batches[0]), np.log(batches[-1]), 100))
    x, y = (1 + fine / scale.value).tolist(), (1 + scale.value / fine).tolist()
    figure.add_scatter(x=x, y=y, mode="lines", line_color=INK, hoverinfo="skip", showlegend=False)
    hover = "batch %{customdata:,}: %{y:,.3s}× the steps, %{x:,.3s}× the examples"
    figure.add_scatter(
        x=[1 + batch / scale.value for batch in batches], y=[1 + scale.value / batch for batch in batches],
        customdata=batches, mode="markers", name="predicted", marker={"color": INK, "size": 8}, hovertemplate=hover,
    )  # fmt: skip
    for one in [] if analysis.doubted else analysis.advice[:1]:
        marker = {"symbol": "circle-open", "size": 18, "line": {"width": 3}, "color": colour(document, one.backend)}
        figure.add_scatter(
            x=[1 + one.batch / scale.value], y=[1 + scale.value / one.batch], mode="markers", marker=marker,
            name=f"take {one.batch:,}", hoverinfo="skip",
        )  # fmt: skip
    if checked is not None and checked.hyperbola is not None:
        least = checked.hyperbola
        figure.add_scatter(
            x=[point.examples / least.examples for point in checked.points],
            y=[point.steps / least.steps for point in checked.points],
            customdata=[point.batch for point in checked.points], mode="markers+text", name="measured",
            text=[f"{point.batch:,}" for point in checked.points], textposition="bottom left",
            textfont={"color": MEASURED, "size": 12}, hovertemplate=hover,
            marker={"color": MEASURED, "size": 9, "symbol": "square"},
        )  # fmt: skip
    return _ticked(figure)


def time_to_target(document: Document, analysis: Analysis, checked: AdviceCheck | None) -> go.Figure | None:
    """Time to the target against batch size, by the least of all; None without advice."""
    scale = critical_batch(document)
    if scale is None or not analysis.advice:
        return None
    figure, least = _figure("batch size", "time / least"), analysis.advice[0].cost
    for one in analysis.advice:
        measured, ink = curve_of(document, one.backend), colour(document, one.backend)
        assert measured is not None
        batches = np.array(whole(document, measured.batches))
        figure.add_scatter(
            x=batches.tolist(), y=(advice.cost(measured, scale.value, batches) / least).tolist(),
            mode="lines+markers", line_color=ink, name=advised(analysis, one),
            hovertemplate="batch %{x:,}: %{y:.3g}× the least",
        )  # fmt: skip
        if not analysis.doubted:
            figure.add_vrect(one.low, one.high, fillcolor=ink, opacity=0.12, line_width=0)
    if checked is not None:
        x, y = zip(*relative_times(document, checked, least), strict=True)
        marker = {"color": MEASURED, "size": 9, "symbol": "square"}
        figure.add_scatter(x=x, y=y, mode="markers", marker=marker, name="measured")
    return _ticked(figure)


def _ticked(figure: go.Figure) -> go.Figure:
    """The figure with ticks on its logarithmic axes."""
    for name in ("x", "y"):
        values = np.concatenate([np.asarray(trace[name], dtype=float) for trace in figure.data])  # type: ignore[index]
        found = log_ticks(0.9 * float(values.min()), 1.1 * float(values.max()))
        figure.update_layout({f"{name}axis": {"tickvals": list(found), "ticktext": list(found.values())}})
    return figure


def _figure(x: str, y: str, logarithmic: bool = True) -> go.Figure:
    figure = go.Figure()
    axis = {"showgrid": True, "gridcolor": GRID, "zeroline": False, "linecolor": INK, "ticks": "outside"}
    if logarithmic:
        axis |= {"type": "log"}
    figure.update_layout(
        font=FONT, margin={"l": 60, "r": 12, "t": 12, "b": 52}, paper_bgcolor="white", plot_bgcolor="white",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}, xaxis=axis | {"title": x},
        yaxis=axis | {"title": y}, height=420,
    )  # fmt: skip
    return figure
