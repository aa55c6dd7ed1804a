"""The pictures of a run: what is drawn is legible, and equal runs give equal files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import simulation
from simulation import Device, Roof

from gearshift.__main__ import main
from gearshift.bench.batch import files
from gearshift.bench.batch.analysis.analyse import analyse
from gearshift.bench.batch.analysis.checked import check
from gearshift.bench.batch.records import Document
from gearshift.bench.batch.show.ticks import log_ticks

MEASURED = Path(__file__).parents[4] / "bench" / "results" / "batch-size-2-core-xeon.json"
SIMULATED = [Roof(5e-6, 2e12, 4e13), Device("numba", 3e-5, 5e-6)]


def documents() -> dict[str, Document]:
    """Runs of few and of many batch sizes, with and without a noise scale, and one of a few per cent's range."""
    return {
        "measured": files.read(MEASURED),
        "simulated": simulation.simulate(SIMULATED, 900.0),
        "three backends": simulation.simulate([*SIMULATED, Device("numpy", 3e-4, 9e-6)], 900.0),
        "quick": simulation.simulate(SIMULATED, 900.0, batches=[1, 8, 64, 512]),
        "two batch sizes": simulation.simulate(SIMULATED, 1e6, batches=[16, 24]),
        "without noise": simulation.simulate(SIMULATED),
    }


def call(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert not ended.value.code


@pytest.mark.parametrize("ending", ["svg", "png"])
@pytest.mark.parametrize("noise", [900.0, None])
def test_pictures(ending: str, noise: float | None, tmp_path: Path) -> None:
    """Four panels, with and without a noise scale, marked where they are simulated; equal files of equal runs."""
    pytest.importorskip("matplotlib")
    source = tmp_path / "a.json"
    files.write(simulation.simulate(SIMULATED, noise), source)
    for name in ("one", "other"):
        call("bench", "--from", source, "--plot", tmp_path / f"{name}.{ending}")
    one, other = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "other"))
    assert one == other and len(one) > 20_000
    from gearshift.bench.batch.show.plots import draw

    figure = draw(files.read(source))
    assert len(figure.axes) == 4 and figure.get_suptitle().startswith("SIMULATION")


@pytest.mark.parametrize("name", documents())
def test_legends_cover_nothing(name: str) -> None:
    """Neither a panel nor another legend or title, and none is cut off."""
    pytest.importorskip("matplotlib")
    from gearshift.bench.batch.show.plots import draw

    figure = draw(documents()[name])
    figure.draw_without_rendering()
    legends = [(panel, panel.get_legend()) for panel in figure.axes if panel.get_legend()]
    assert len(legends) == (2 if name == "without noise" else 4)
    for panel, legend in legends:
        box = legend.get_window_extent()
        others = [one.get_window_extent() for one in figure.axes]
        others += [one.get_window_extent() for _, one in legends if one is not legend]
        others.append(panel._left_title.get_window_extent())  # the title on the left has no public getter
        assert not any(box.padded(-1).overlaps(other) for other in others), panel.get_title(loc="left")
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("name", documents())
def test_every_axis_has_three_ticks_with_labels(name: str) -> None:
    """Within its range; bars have one label each."""
    pytest.importorskip("matplotlib")
    from gearshift.bench.batch.show.plots import draw

    figure = draw(documents()[name])
    figure.draw_without_rendering()
    for panel in figure.axes:
        if not panel.has_data():
            continue
        for axis, (low, high) in ((panel.xaxis, panel.get_xlim()), (panel.yaxis, panel.get_ylim())):
            bars = len(panel.containers[0]) if panel.containers and axis is panel.xaxis else 3
            shown = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            assert sum(bool(tick.label1.get_text()) for tick in shown) >= min(3, bars), panel.get_title(loc="left")


@pytest.mark.parametrize("name", documents())
def test_charts_of_the_page_have_three_ticks(name: str) -> None:
    """Within the range of their curves."""
    pytest.importorskip("plotly")
    from gearshift.bench.batch.show import charts

    document = documents()[name]
    analysis, checked = analyse(document), check(document)
    drawn: list[Any] = [charts.throughput(document, analysis)]
    if document.noise is not None:
        drawn += [charts.steps_and_examples(document, analysis, checked)]
        drawn += [charts.time_to_target(document, analysis, checked)]
    for figure in drawn:
        assert len(figure.layout.xaxis.tickvals) >= 3 and len(figure.layout.yaxis.tickvals) >= 3
        assert figure.layout.legend.y > 1, "the legend is above the chart"


@pytest.mark.parametrize("low", [0.95, 3e-6, 1.0, 7.3e5])
@pytest.mark.parametrize("factor", [1.02, 1.3, 2.0, 15.0, 2e3, 1e9])
def test_ticks(low: float, factor: float) -> None:
    """Three to eight, in order, inside the range, with labels that differ."""
    found = log_ticks(low, factor * low)
    places = list(found)
    assert 3 <= len(places) <= 8 and places == sorted(places)
    assert low <= places[0] and places[-1] <= factor * low * (1 + 1e-12)
    assert len(set(found.values())) == len(places)


def test_text_plot_has_three_ticks(capsys: pytest.CaptureFixture[str]) -> None:
    call("bench", "--from", MEASURED)
    lines = capsys.readouterr().out.splitlines()
    below = next(lines[place + 1] for place, line in enumerate(lines) if "+----" in line)
    assert below.split()[0] == "1" and below.split()[-1] == "65,536" and len(below.split()) >= 3
