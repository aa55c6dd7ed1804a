"""What is concluded from measurements, on numbers made by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from gearshift.backends.errors import DataError
from gearshift.bench.peers import analysis, results
from gearshift.bench.peers.plot import save, spread_out
from gearshift.bench.peers.results import Measurement, PeersPoint, Result


def point(network: str = "4-3-2", batch: int = 1, measure: str = "step", **seconds: list[float]) -> PeersPoint:
    """A point at which contenders, with _ for spaces, took these seconds in each round."""
    found = {name.replace("_", " "): Result(list(values), [1.0]) for name, values in seconds.items()}
    return PeersPoint(measure, network, batch, batch, found)


def test_a_ratio_is_the_other_time_over_ours() -> None:
    """Medians make the value, and ratios within a round the quartiles."""
    found = analysis.ratio(point(numba=[1.0, 2.0, 4.0], jax=[4.0, 6.0, 8.0]), "jax")
    assert found is not None
    assert (found.value, found.low, found.high) == (3.0, 2.5, 3.5)
    assert found.verdict == "faster"


@pytest.mark.parametrize(
    ("ours", "other", "verdict"),
    [
        ([1.0, 1.0, 1.0], [1.049, 1.049, 1.049], "tie"),  # within 5 %
        ([1.0, 1.0, 1.0], [1.06, 1.06, 1.06], "faster"),
        ([1.0, 1.0, 1.0], [0.94, 0.94, 0.94], "slower"),
        ([1.0, 1.0, 1.0], [0.8, 1.2, 1.3], "tie"),  # quartiles 1.0 and 1.25
        ([1.0, 1.0, 1.0], [1.1, 1.2, 1.3], "faster"),
    ],
)
def test_ties(ours: list[float], other: list[float], verdict: str) -> None:
    """A ratio near 1, or whose middle half straddles 1, decides nothing."""
    found = analysis.ratio(point(numba=ours, torch=other), "torch")
    assert found is not None and found.verdict == verdict


def test_fastest_other_is_not_the_reference_nor_ours_nor_faulty() -> None:
    """Only contenders that count are compared with."""
    here = point(numba=[1.0], numpy=[0.1], reference=[0.2], torch=[0.3], jax=[2.0], jax_scan=[3.0])
    here.results["torch"].fault = "its losses differ"
    assert analysis.fastest_other(here) == "jax"
    assert analysis.faster_than_reference(here) == []
    here.results["reference"].seconds = [2.5]
    assert analysis.faster_than_reference(here) == ["jax"]
    here.results["numba"].fault = "died"
    assert analysis.against_best([here]) == []


def test_the_limit_is_the_fastest_other_over_the_peak() -> None:
    here = point(numba=[1.0], jax=[3.0, 3.0], torch=[4.0, 4.0], reference=[0.2], peak=[2.0, 1.0])
    found = analysis.limit(here)
    assert found is not None and (found.value, found.other) == (2.0, "jax")
    assert analysis.limit(point(numba=[1.0], jax=[3.0])) is None
    assert analysis.limit(point(numba=[1.0], peak=[3.0])) is None
    lines = {line.title: line for line in analysis.step_summary([here]) + analysis.epoch_summary([here], "epochs")}
    assert lines["limit, all batches"].mean == lines["limit, epochs"].mean == pytest.approx(2.0)


def test_losses_that_disagree_are_a_fault() -> None:
    """Against the middle contender, relative to the mean loss; what is not a number is a fault too."""
    here = point(numba=[1.0], torch=[1.0], jax=[1.0], jax_scan=[1.0], reference=[1.0])
    here.results["numba"].losses = [2.0, 1.00001]
    here.results["torch"].losses = [2.0, 1.0]
    here.results["jax"].losses = [2.0, 1.01]
    here.results["jax scan"].losses = [2.0, math.nan]
    here.results["reference"].losses = []
    worst = analysis.mark_faults(here)
    assert worst == pytest.approx(1e-5 / 1.5, rel=1e-3)
    assert [name for name, result in here.results.items() if result.fault] == ["jax", "jax scan"]
    assert analysis.spread(here) == pytest.approx(worst, rel=0.1)


def test_a_tiny_last_loss_is_no_measure() -> None:
    """On one row the loss falls to rounding error, which differs by much of itself."""
    assert analysis.disagreement({"a": [2.0, 1e-6], "b": [2.0, 2e-6]})["b"] == pytest.approx(1e-6, rel=1e-3)


def test_summary() -> None:
    """Geometric means over batch ranges and networks, and the worst point of each."""
    points = [
        point("4-3-2", 1, numba=[1.0], jax=[8.0], reference=[2.0]),
        point("4-3-2", 128, numba=[1.0], jax=[2.0], reference=[0.5]),
        point("4-5-2", 32, numba=[1.0], jax=[2.0], torch=[0.5], reference=[1.0]),
    ]
    lines = {line.title: line for line in analysis.step_summary(points)}
    assert lines["fastest other, batch ≤ 32"].mean == pytest.approx(2.0)  # √(8 · ½)
    assert lines["fastest other, all batches"].mean == pytest.approx(2.0)  # ∛(8 · 2 · ½)
    assert lines["fastest other, all batches"].worst == pytest.approx(0.5)
    assert lines["fastest other, all batches"].where == "4-5-2, batch 32: torch"
    assert lines["fastest other, 4-3-2"].mean == pytest.approx(4.0)
    reference = lines["step / reference"]
    assert (reference.mean, reference.worst) == (pytest.approx(1.0), pytest.approx(2.0))
    assert reference.where == "4-3-2, batch 128"


def test_epoch_summary_is_by_rival() -> None:
    """Each contender on its own, over the networks it was measured at."""
    points = [
        point("4-3-2", 128, "epoch", numba=[1.0], jax=[2.0], torch=[4.0]),
        point("4-5-2", 128, "epoch", numba=[1.0], jax=[8.0]),
    ]
    found = {line.title: (line.mean, line.points) for line in analysis.epoch_summary(points, "epochs")}
    assert found == {"jax, epochs": (pytest.approx(4.0), 2), "torch, epochs": (pytest.approx(4.0), 1)}


def test_file_holds_what_was_measured(tmp_path: Path) -> None:
    """Written and read again it is the same; other files are refused by name."""
    here = point(numba=[1.0, 2.0], jax=[])
    here.results["jax"].fault = "died"
    measurement = Measurement({"cores": 2}, {"torch": "pip install torch"}, [here])
    path = tmp_path / "peers.json"
    results.write(measurement, path)
    assert results.read(path) == measurement
    written = path.read_text()
    for wrong in ('{"format": 2}', "[]", written.replace("jax", "theano"), written.replace("2.0", "0.0")):
        path.write_text(wrong)
        with pytest.raises(DataError, match=r"peers\.json is no file of"):
            results.read(path)


def test_a_picture_without_gearshift_says_so(tmp_path: Path) -> None:
    """As where other contenders alone were asked for, or Ctrl-C came before the first round."""
    pytest.importorskip("matplotlib")
    for points in ([], [point(jax=[1.0], torch=[2.0])]):
        save(Measurement({}, {}, points), tmp_path / "peers.svg")
        assert (tmp_path / "peers.svg").stat().st_size > 1000


def test_labels_keep_their_distance() -> None:
    """Heights that collide are spread about their middle; others stay."""
    assert spread_out([0.0, 0.5, 0.5], 0.1) == pytest.approx([0.0, 0.45, 0.55])
    assert spread_out([0.0, 0.05, 0.12], 0.1) == pytest.approx([-0.0433, 0.0567, 0.1567], abs=1e-3)
